#include "keystore/key_life.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <utility>

namespace skms::keystore {
namespace {

using S = KeyState;

constexpr S kAll[] = {S::kPreActive,   S::kActive,      S::kSuspended,
                      S::kDeactivated, S::kCompromised, S::kDestroyed};

TEST_CASE("every pair of states is allowed or refused as SP 800-57 part 1 clause 7 has it") {
  // Written out once more, by hand, from the standard and not from the table.
  const std::map<std::pair<S, S>, std::string> allowed = {
      {{S::kPreActive, S::kActive}, "activate"},        {{S::kPreActive, S::kCompromised}, "compromise"},
      {{S::kPreActive, S::kDestroyed}, "destroy"},      {{S::kActive, S::kSuspended}, "suspend"},
      {{S::kActive, S::kDeactivated}, "deactivate"},    {{S::kActive, S::kCompromised}, "compromise"},
      {{S::kSuspended, S::kActive}, "resume"},          {{S::kSuspended, S::kDeactivated}, "deactivate"},
      {{S::kSuspended, S::kCompromised}, "compromise"}, {{S::kDeactivated, S::kCompromised}, "compromise"},
      {{S::kDeactivated, S::kDestroyed}, "destroy"},    {{S::kCompromised, S::kDestroyed}, "destroy"}};
  const std::set<std::string> actions = {"activate",   "suspend",    "resume",
                                         "deactivate", "compromise", "destroy"};
  std::size_t ways = 0;
  for (const S from : kAll) {
    for (const std::string& action : actions) {
      CAPTURE(Name(from));
      CAPTURE(action);
      const auto next = NextState(from, action);
      bool expected = false;
      for (const S to : kAll) {
        const auto found = allowed.find({from, to});
        if (found == allowed.end() || found->second != action) continue;
        expected = true;
        REQUIRE(next.has_value());
        CHECK(next.value() == to);
        ++ways;
      }
      if (expected) continue;
      REQUIRE(next.has_error());
      CHECK(next.error().code == ErrorCode::kConflict);
      CHECK(next.error().detail.find("allowed: " + AllowedActions(from)) != std::string::npos);
    }
  }
  CHECK(ways == allowed.size());
  CHECK(Transitions().size() == allowed.size());
  CHECK(AllowedActions(S::kDestroyed) == "nothing");
}

TEST_CASE("an action nobody knows is the caller's mistake and the known ones are named") {
  const auto next = NextState(S::kActive, "revive");
  REQUIRE(next.has_error());
  CHECK(next.error().code == ErrorCode::kInvalidArgument);
  CHECK(next.error().detail.find("activate, compromise, destroy, suspend, deactivate, resume") !=
        std::string::npos);
}

TEST_CASE("every state has one rule, and only a destroyed key is without material") {
  CHECK(StateRules().size() == std::size(kAll));
  for (const S state : kAll) {
    CHECK(RuleOf(state).state == state);
    CHECK(RuleOf(state).holds_material == (state != S::kDestroyed));
    CHECK_FALSE(RuleOf(state).meaning.empty());
  }
}

TEST_CASE("what goes out, and for what, is the state's and the administrator's word together") {
  const std::map<S, KeyUse> kept = {{S::kPreActive, KeyUse::kFuture}, {S::kActive, KeyUse::kFull},
                                    {S::kSuspended, KeyUse::kNone},   {S::kDeactivated, KeyUse::kProcess},
                                    {S::kCompromised, KeyUse::kNone}, {S::kDestroyed, KeyUse::kNone}};
  for (const auto& [state, use] : kept) {
    KeyVersion version;
    version.state = state;
    CHECK(UseOf(version) == use);
    version.released = true;
    CHECK(UseOf(version) == (state == S::kCompromised ? KeyUse::kProcess : use));
  }
}

}  // namespace
}  // namespace skms::keystore
