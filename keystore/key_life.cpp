#include "keystore/key_life.h"

#include <algorithm>

namespace skms::keystore {
namespace {

using S = KeyState;

constexpr StateRule kRules[] = {
    {S::kPreActive, KeyUse::kFuture, false, true, "made ahead of time, not yet to be used"},
    {S::kActive, KeyUse::kFull, false, true, "protects and processes"},
    {S::kSuspended, KeyUse::kNone, false, true, "set aside for a while"},
    {S::kDeactivated, KeyUse::kProcess, false, true, "processes what was protected before"},
    {S::kCompromised, KeyUse::kProcess, true, true,
     "may be known to others; on an administrator's word only"},
    {S::kDestroyed, KeyUse::kNone, false, false, "a tombstone without material"},
};

constexpr Transition kTransitions[] = {
    {S::kPreActive, S::kActive, "activate", false},
    {S::kPreActive, S::kCompromised, "compromise", false},
    {S::kPreActive, S::kDestroyed, "destroy", false},
    {S::kActive, S::kSuspended, "suspend", false},
    {S::kActive, S::kDeactivated, "deactivate", true},
    {S::kActive, S::kCompromised, "compromise", false},
    {S::kSuspended, S::kActive, "resume", false},
    {S::kSuspended, S::kDeactivated, "deactivate", false},
    {S::kSuspended, S::kCompromised, "compromise", false},
    {S::kDeactivated, S::kCompromised, "compromise", false},
    {S::kDeactivated, S::kDestroyed, "destroy", false},
    {S::kCompromised, S::kDestroyed, "destroy", false},
};

std::string Join(std::string text, std::string_view word) {
  if (!text.empty()) text += ", ";
  return text.append(word);
}

}  // namespace

std::span<const StateRule> StateRules() { return kRules; }
std::span<const Transition> Transitions() { return kTransitions; }

const StateRule& RuleOf(KeyState state) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                   [&](const auto& rule) { return rule.state == state; });
  return found == std::end(kRules) ? kRules[std::size(kRules) - 1] : *found;
}

Result<KeyState> NextState(KeyState from, std::string_view action) {
  std::string known;
  for (const Transition& transition : kTransitions) {
    if (transition.from == from && transition.action == action) return transition.to;
    if (known.find(transition.action) == std::string::npos) known = Join(std::move(known), transition.action);
  }
  const bool exists = std::any_of(std::begin(kTransitions), std::end(kTransitions),
                                  [&](const auto& transition) { return transition.action == action; });
  if (!exists) return InvalidArgument("'" + std::string(action) + "' is no action; known: " + known);
  return Conflict("a key that is " + std::string(Name(from)) + " cannot be changed by '" +
                  std::string(action) + "'; allowed: " + AllowedActions(from));
}

std::string AllowedActions(KeyState from) {
  std::string allowed;
  for (const Transition& transition : kTransitions) {
    if (transition.from == from) allowed = Join(std::move(allowed), transition.action);
  }
  return allowed.empty() ? "nothing" : allowed;
}

KeyUse UseOf(const KeyVersion& version) {
  const StateRule& rule = RuleOf(version.state);
  return rule.needs_release && !version.released ? KeyUse::kNone : rule.delivered;
}

}  // namespace skms::keystore
