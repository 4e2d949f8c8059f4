#include "keystore/rotation.h"

#include <algorithm>
#include <utility>

namespace skms::keystore {
namespace {

/// The versions while a plan is made, and which of them it has touched.
class Draft {
 public:
  Draft(const RotationPolicy& policy, const Versions& versions, std::int64_t now)
      : policy_(policy),
        now_(now),
        versions_(versions),
        actions_(versions.size()),
        touched_(versions.size()) {}

  KeyVersion* Newest(KeyState state) {
    const auto found = std::find_if(versions_.begin(), versions_.end(),
                                    [&](const KeyVersion& version) { return version.state == state; });
    return found == versions_.end() ? nullptr : &*found;
  }

  void Activate(KeyVersion& version) {
    // Its planned end stands: it was told to those who fetched it ahead.
    EnterState(version, KeyState::kActive, now_);
    Touch(version, "activate");
  }

  /// `version` begins now instead of when it was planned.
  void ActivateEarly(KeyVersion& version) {
    version.not_before = now_;
    version.not_after = EndOf(now_);
    Activate(version);
  }

  void Step(std::size_t index, KeyState to, const std::string& action) {
    EnterState(versions_[index], to, now_);
    Touch(versions_[index], action.c_str());
  }

  void End(KeyVersion& version) {
    EnterState(version, KeyState::kDeactivated, now_);
    Touch(version, "deactivate");
  }

  void Wipe(KeyVersion& version) {
    EnterState(version, KeyState::kDestroyed, now_);
    Touch(version, "destroy");
  }

  /// `successor_begins` is when the version after it begins; it then has the overlap left.
  void Follow(KeyVersion& version, std::int64_t successor_begins) {
    const std::int64_t end = successor_begins + policy_.overlap;
    // One without an end that is ended at once needs none.
    if (version.not_after || end > now_) version.not_after = end;
    Touch(version, "");
  }

  void Make(KeyState state, std::int64_t not_before) {
    const std::uint32_t newest = versions_.empty() ? 0 : versions_.front().version;
    next_ = NextVersion{newest + 1, state, not_before, EndOf(not_before)};
  }

  /// Every active version but the newest whose time is over.
  void EndOverdue() {
    bool newest = !(next_ && next_->state == KeyState::kActive);
    for (KeyVersion& version : versions_) {
      if (version.state != KeyState::kActive) continue;
      if (std::exchange(newest, false)) continue;
      if (!version.not_after || *version.not_after <= now_) End(version);
    }
  }

  /// Wipes the oldest deactivated versions past the number that the policy keeps.
  void KeepFew() {
    if (policy_.versions_kept == 0) return;
    std::uint32_t kept = next_ ? 1 : 0;
    for (KeyVersion& version : versions_) {
      if (version.state == KeyState::kDestroyed) continue;
      if (++kept > policy_.versions_kept && version.state == KeyState::kDeactivated) Wipe(version);
    }
  }

  RotationPlan Finish() {
    bool newer = next_.has_value();
    for (KeyVersion& version : versions_) {
      if (version.state == KeyState::kActive && version.superseded != newer) {
        version.superseded = newer;
        Touch(version, "");
      }
      newer = newer || version.state == KeyState::kActive || version.state == KeyState::kPreActive;
    }
    RotationPlan plan;
    for (std::size_t i = 0; i < versions_.size(); ++i) {
      if (touched_[i]) plan.changed.push_back({versions_[i], actions_[i]});
    }
    plan.next = next_;
    return plan;
  }

 private:
  std::optional<std::int64_t> EndOf(std::int64_t not_before) const {
    if (policy_.crypto_period == 0) return std::nullopt;
    return not_before + policy_.crypto_period + policy_.overlap;
  }

  void Touch(const KeyVersion& version, const char* action) {
    const auto index = static_cast<std::size_t>(&version - versions_.data());
    touched_[index] = true;
    if (*action != '\0') actions_[index] = action;
  }

  const RotationPolicy& policy_;
  const std::int64_t now_;
  Versions versions_;
  std::vector<std::string> actions_;
  std::vector<bool> touched_;
  std::optional<NextVersion> next_;
};

}  // namespace

const KeyVersion* CurrentVersion(const Versions& versions) {
  const auto found = std::find_if(versions.begin(), versions.end(), [](const KeyVersion& version) {
    return version.state == KeyState::kActive;
  });
  return found == versions.end() ? nullptr : &*found;
}

std::optional<std::int64_t> RotationTime(const RotationPolicy& policy, const KeyVersion& current) {
  std::optional<std::int64_t> time;
  if (policy.crypto_period > 0) time = current.not_before + policy.crypto_period;
  // What was promised to its holders stands, also when the policy has become longer since, or is gone.
  if (current.not_after) {
    const std::int64_t promised = *current.not_after - policy.overlap;
    time = time ? std::min(*time, promised) : promised;
  }
  return time;
}

void EnterState(KeyVersion& version, KeyState to, std::int64_t now) {
  switch (to) {
    case KeyState::kActive:
      if (version.state == KeyState::kPreActive) version.not_before = std::min(version.not_before, now);
      version.suspended.reset();
      break;
    case KeyState::kSuspended:
      version.suspended = now;
      break;
    case KeyState::kDeactivated:
      version.deactivated = now;
      break;
    case KeyState::kCompromised:
      version.compromised = now;
      break;
    case KeyState::kDestroyed:
      version.destroyed = now;
      version.wrapped.bytes.clear();
      break;
    case KeyState::kPreActive:
      break;
  }
  version.state = to;
}

RotationPlan PlanScheduled(const RotationPolicy& policy, const Versions& versions, std::int64_t now) {
  Draft draft(policy, versions, now);
  KeyVersion* ahead = draft.Newest(KeyState::kPreActive);
  if (ahead != nullptr && ahead->not_before <= now) {
    draft.Activate(*ahead);
    ahead = nullptr;
  }
  KeyVersion* current = draft.Newest(KeyState::kActive);
  // A newer one that is set aside may come back; until then nobody takes its place.
  const KeyVersion* suspended = draft.Newest(KeyState::kSuspended);
  const bool waits = current != nullptr && suspended != nullptr && suspended->version > current->version;
  if (current != nullptr && ahead == nullptr && !waits) {
    const auto time = RotationTime(policy, *current);
    if (time && now >= *time - policy.make_ahead) {
      const std::int64_t begins = std::max(now, *time);
      draft.Follow(*current, begins);
      draft.Make(begins <= now ? KeyState::kActive : KeyState::kPreActive, begins);
    }
  }
  draft.EndOverdue();
  draft.KeepFew();
  return draft.Finish();
}

RotationPlan PlanRotateNow(const RotationPolicy& policy, const Versions& versions, std::int64_t now) {
  Draft draft(policy, versions, now);
  KeyVersion* ahead = draft.Newest(KeyState::kPreActive);
  for (const KeyVersion& version : versions) {
    if (version.state != KeyState::kActive) continue;
    draft.Follow(*draft.Newest(KeyState::kActive), now);
    break;
  }
  if (ahead != nullptr) {
    draft.ActivateEarly(*ahead);
  } else {
    draft.Make(KeyState::kActive, now);
  }
  draft.EndOverdue();
  draft.KeepFew();
  return draft.Finish();
}

RotationPlan PlanStep(const Versions& versions, std::size_t index, KeyState to, const std::string& action,
                      std::int64_t now) {
  static const RotationPolicy none;
  Draft draft(none, versions, now);
  draft.Step(index, to, action);
  return draft.Finish();
}

RotationPlan PlanRekey(const RotationPolicy& policy, const Versions& versions, std::int64_t now) {
  Draft draft(policy, versions, now);
  while (KeyVersion* ahead = draft.Newest(KeyState::kPreActive)) draft.Wipe(*ahead);
  while (KeyVersion* active = draft.Newest(KeyState::kActive)) draft.End(*active);
  draft.Make(KeyState::kActive, now);
  draft.KeepFew();
  return draft.Finish();
}

}  // namespace skms::keystore
