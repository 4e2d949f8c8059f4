// The words for states and delivery, as stored and shown.
#include <string>

#include "keystore/directory_entries.h"
#include "keystore/key_version.h"

namespace skms::keystore {
namespace {

constexpr KeyState kStates[] = {KeyState::kPreActive,   KeyState::kActive,      KeyState::kSuspended,
                                KeyState::kDeactivated, KeyState::kCompromised, KeyState::kDestroyed};

}  // namespace

std::string_view Name(KeyState state) {
  switch (state) {
    case KeyState::kPreActive:
      return "pre-active";
    case KeyState::kActive:
      return "active";
    case KeyState::kSuspended:
      return "suspended";
    case KeyState::kDeactivated:
      return "deactivated";
    case KeyState::kCompromised:
      return "compromised";
    case KeyState::kDestroyed:
      return "destroyed";
  }
  return "destroyed";
}

Result<KeyState> ParseKeyState(std::string_view name) {
  for (const KeyState state : kStates) {
    if (Name(state) == name) return state;
  }
  return InvalidArgument("'" + std::string(name) + "' is no key state");
}

std::string KeyStateNames() {
  std::string names;
  for (const KeyState state : kStates) names += (names.empty() ? "" : ", ") + std::string(Name(state));
  return names;
}

std::string_view Name(Delivery delivery) { return delivery == Delivery::kTls ? "tls" : "wrapped"; }

Result<Delivery> ParseDelivery(std::string_view name) {
  if (name == "wrapped") return Delivery::kWrapped;
  if (name == "tls") return Delivery::kTls;
  return InvalidArgument("'" + std::string(name) + "' is no delivery; known: wrapped, tls");
}

std::string_view Name(hsm::Recipients recipients) {
  return recipients == hsm::Recipients::kTrusted ? "trusted" : "any";
}

Result<hsm::Recipients> ParseRecipients(std::string_view name) {
  if (name == "any") return hsm::Recipients::kAny;
  if (name == "trusted") return hsm::Recipients::kTrusted;
  return InvalidArgument("'" + std::string(name) + "' names no recipients; known: any, trusted");
}

std::string_view Name(JoinPolicy policy) {
  switch (policy) {
    case JoinPolicy::kFromCurrent:
      return "from-current";
    case JoinPolicy::kAllVersions:
      return "all-versions";
    case JoinPolicy::kRekey:
      return "rekey";
  }
  return "from-current";
}

Result<JoinPolicy> ParseJoinPolicy(std::string_view name) {
  for (const JoinPolicy policy : {JoinPolicy::kFromCurrent, JoinPolicy::kAllVersions, JoinPolicy::kRekey}) {
    if (Name(policy) == name) return policy;
  }
  return InvalidArgument("'" + std::string(name) +
                         "' is no join policy; known: from-current, all-versions, rekey");
}

}  // namespace skms::keystore
