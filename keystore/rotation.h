// Rotation: which versions of one key must be made, activated, ended or wiped, and when. The rules alone: no
// token, no database, no clock.
//
// A version protects from its not_before (nbf) for the crypto-period of its service; then the next one does,
// which was made `make_ahead` before. The former version stays active for `overlap`, its not_after (exp), so
// that a peer that was off network at the switch is still understood. NIST SP 800-57 part 1 rev. 5, 5.3
// (crypto-periods) and 7 (states).
//
// The plans look only at the stored versions and the time: run twice they do nothing the second time, and
// after any downtime one run leads to the state that is right now, not through those that were missed.
// Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "keystore/directory_entries.h"
#include "keystore/key_version.h"

namespace skms::keystore {

/// A version to be generated.
struct NextVersion {
  std::uint32_t number = 1;
  KeyState state = KeyState::kActive;  ///< or kPreActive
  std::int64_t not_before = 0;
  std::optional<std::int64_t> not_after;
  bool last = false;  ///< of a group that is gone: no version follows it by the clock
};

/// A stored version as it will be. `action` is the transition's name in the audit chain ("activate",
/// "deactivate", "destroy"), or empty where only its end or its successor is noted.
struct ChangedVersion {
  KeyVersion version;
  std::string action;
};

struct RotationPlan {
  std::vector<ChangedVersion> changed;
  std::optional<NextVersion> next;
  bool empty() const { return changed.empty() && !next; }
};

/// Every version of one selector, newest first, tombstones too.
using Versions = std::vector<KeyVersion>;

/// What the time asks for.
RotationPlan PlanScheduled(const RotationPolicy& policy, const Versions& versions, std::int64_t now);

/// The next version becomes active now: the one made ahead where there is one, else a new one. The former
/// stays for the overlap. Without any version: version 1.
RotationPlan PlanRotateNow(const RotationPolicy& policy, const Versions& versions, std::int64_t now);

/// A new version becomes active now, and what somebody may know who must not read on is not used any more:
/// active versions end at once, one made ahead is wiped.
RotationPlan PlanRekey(const RotationPolicy& policy, const Versions& versions, std::int64_t now);

/// One step of an administrator on the version at `index`: it enters `to`. Marks of the others follow.
RotationPlan PlanStep(const Versions& versions, std::size_t index, KeyState to, const std::string& action,
                      std::int64_t now);

/// The newest active version, or nullptr: what protects now.
const KeyVersion* CurrentVersion(const Versions& versions);

/// Sets the time at which the new state begins, and drops what it ends. Legality is NextState's.
void EnterState(KeyVersion& version, KeyState to, std::int64_t now);

/// When the version after `current` should be active; nullopt: no rotation by time.
std::optional<std::int64_t> RotationTime(const RotationPolicy& policy, const KeyVersion& current);

}  // namespace skms::keystore
