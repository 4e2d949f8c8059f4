// KeyLife: the states of a key version, what each allows, and the transitions between them, as two tables.
//
// NIST SP 800-57 part 1 rev. 5, clause 7. Everything that changes a state asks this table; a test walks every
// pair. Pure functions; thread-safe.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "keystore/key_version.h"

namespace skms::keystore {

/// What a holder may do with a delivered key.
enum class KeyUse {
  kNone,     ///< it is not delivered
  kFuture,   ///< to be kept until its nbf, then used fully
  kFull,     ///< protect and process: encrypt and decrypt, sign and verify
  kProcess,  ///< process only what was protected before: decrypt, verify
};

struct StateRule {
  KeyState state;
  KeyUse delivered;          ///< what a delivery allows
  bool needs_release;        ///< delivered only after an administrator's word (`key release`)
  bool holds_material;       ///< wrapped bytes are kept
  std::string_view meaning;  ///< for people and pictures
};

struct Transition {
  KeyState from;
  KeyState to;
  std::string_view action;  ///< "activate", "suspend", …: the name in CLI, API and audit chain
  bool automatic;           ///< rotation does it too, not only an administrator
};

std::span<const StateRule> StateRules();
std::span<const Transition> Transitions();

const StateRule& RuleOf(KeyState state);

/// The state that `action` leads to from `from`. Errors: kInvalidArgument (no such action; names the known
/// ones), kConflict (not allowed from there; names the allowed ones).
Result<KeyState> NextState(KeyState from, std::string_view action);

/// "suspend, deactivate, compromise"; "nothing" for destroyed.
std::string AllowedActions(KeyState from);

/// May this version go out, and for what: the state's rule and the administrator's word together.
KeyUse UseOf(const KeyVersion& version);

}  // namespace skms::keystore
