// KeyVersion: one version of one key, as stored and as shown. NIST SP 800-57 part 1, clause 7 (states).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hsm/wrapped_key.h"
#include "keystore/identifiers.h"

namespace skms::keystore {

enum class KeyState { kPreActive, kActive, kSuspended, kDeactivated, kCompromised, kDestroyed };
std::string_view Name(KeyState state);  ///< "pre-active", "active", …
Result<KeyState> ParseKeyState(std::string_view name);
std::string KeyStateNames();  ///< "pre-active, active, …"

struct KeyVersion {
  Kid kid;
  Selector selector;
  std::uint32_t version = 1;  ///< 1, 2, … per selector
  std::string profile;
  KeyState state = KeyState::kActive;
  std::int64_t created = 0;                 ///< seconds since 1970
  std::int64_t not_before = 0;              ///< activation
  std::optional<std::int64_t> not_after;    ///< end of the crypto-period where there is one
  std::optional<std::int64_t> deactivated;  ///< when its protecting use ended
  std::optional<std::int64_t> suspended;    ///< since when; empty again after a resume
  std::optional<std::int64_t> compromised;  ///< since when it may be known to others
  std::optional<std::int64_t> destroyed;    ///< since when only this tombstone is left
  bool superseded = false;                  ///< a newer version is active or made ahead
  std::int64_t group_revision = 0;          ///< groups: the revision of the group it was made at
  bool released = false;                    ///< compromised, and an administrator lets it be delivered
  std::string changed_by;                   ///< who made the last transition; empty: none since creation
  std::string reason;                       ///< what was said with it
  hsm::WrappedKey wrapped;                  ///< no octets once destroyed
  Bytes public_key;                         ///< SubjectPublicKeyInfo DER for ec-p256, else empty
};

}  // namespace skms::keystore
