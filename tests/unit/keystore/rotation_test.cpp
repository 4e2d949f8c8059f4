// The rules of rotation alone: what is due when, and that nothing is due twice.
#include "keystore/rotation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

namespace skms::keystore {
namespace {

constexpr std::int64_t kStart = 1'800'000'000;
constexpr std::int64_t kDay = 86400;
// A month, a day of overlap, the next one a week ahead.
const RotationPolicy kMonthly{30 * kDay, kDay, 7 * kDay, 0};

/// Applies plans as the store does.
struct Key {
  RotationPolicy policy = kMonthly;
  Versions versions;

  int Apply(const RotationPlan& plan) {
    for (const ChangedVersion& changed : plan.changed) {
      for (KeyVersion& version : versions) {
        if (version.version == changed.version.version) version = changed.version;
      }
    }
    if (plan.next) {
      KeyVersion made;
      made.kid = Kid("k" + std::to_string(plan.next->number));
      made.version = plan.next->number;
      made.state = plan.next->state;
      made.not_before = plan.next->not_before;
      made.not_after = plan.next->not_after;
      made.wrapped.bytes = {1};
      versions.insert(versions.begin(), made);
    }
    return static_cast<int>(plan.changed.size()) + (plan.next ? 1 : 0);
  }
  int Run(std::int64_t now) { return Apply(PlanScheduled(policy, versions, now)); }
  const KeyVersion& Number(std::uint32_t number) const {
    return *std::find_if(versions.begin(), versions.end(),
                         [&](const KeyVersion& version) { return version.version == number; });
  }
};

Key Fresh(const RotationPolicy& policy = kMonthly) {
  Key key;
  key.policy = policy;
  key.Apply(PlanRotateNow(policy, {}, kStart));
  return key;
}

}  // namespace

TEST_CASE("the first version ends after the crypto-period and the overlap") {
  const Key key = Fresh();
  CHECK(key.Number(1).state == KeyState::kActive);
  CHECK(key.Number(1).not_before == kStart);
  CHECK(key.Number(1).not_after == kStart + 31 * kDay);
  CHECK_FALSE(Fresh({}).Number(1).not_after.has_value());
}

TEST_CASE("the next version is made ahead, begins on time, and the former ends after the overlap") {
  Key key = Fresh();
  CHECK(key.Run(kStart + 23 * kDay - 1) == 0);
  CHECK(key.Run(kStart + 23 * kDay) == 2);
  CHECK(key.Number(2).state == KeyState::kPreActive);
  CHECK(key.Number(2).not_before == kStart + 30 * kDay);
  CHECK(key.Number(2).not_after == kStart + 61 * kDay);
  CHECK(key.Number(1).superseded);
  CHECK(key.Number(1).not_after == kStart + 31 * kDay);
  CHECK(key.Run(kStart + 23 * kDay) == 0);
  CHECK(key.Run(kStart + 30 * kDay - 1) == 0);

  CHECK(key.Run(kStart + 30 * kDay + 2) == 1);
  CHECK(key.Number(2).state == KeyState::kActive);
  CHECK(key.Number(2).not_before == kStart + 30 * kDay);
  CHECK(key.Number(1).state == KeyState::kActive);
  CHECK(key.Run(kStart + 31 * kDay - 1) == 0);
  CHECK(key.Run(kStart + 31 * kDay) == 1);
  CHECK(key.Number(1).state == KeyState::kDeactivated);
  CHECK(key.Run(kStart + 31 * kDay) == 0);
}

TEST_CASE("after a long stop one run makes one version, not those that were missed") {
  Key key = Fresh();
  key.Run(kStart + 23 * kDay);
  const std::int64_t late = kStart + 400 * kDay;
  key.Run(late);
  REQUIRE(key.versions.size() == 3);
  CHECK(key.Number(3).state == KeyState::kActive);
  CHECK(key.Number(3).not_before == late);
  CHECK(key.Number(2).state == KeyState::kActive);  // for the overlap: peers may hold it as the current one
  CHECK(key.Number(2).not_after == late + kDay);
  CHECK(key.Number(1).state == KeyState::kDeactivated);
  CHECK(key.Run(late) == 0);
}

TEST_CASE("a clock set back makes nothing due, and what was done stays done") {
  Key key = Fresh();
  key.Run(kStart + 23 * kDay);
  key.Run(kStart + 30 * kDay);
  for (const std::int64_t back : {std::int64_t{3600}, kDay, 29 * kDay}) {
    CAPTURE(back);
    CHECK(key.Run(kStart + 30 * kDay - back) == 0);
  }
  CHECK(key.versions.size() == 2);
}

TEST_CASE("a rotation by hand uses the version that was made ahead") {
  Key key = Fresh();
  key.Run(kStart + 23 * kDay);
  const std::int64_t now = kStart + 25 * kDay;
  key.Apply(PlanRotateNow(key.policy, key.versions, now));
  CHECK(key.versions.size() == 2);
  CHECK(key.Number(2).state == KeyState::kActive);
  CHECK(key.Number(2).not_before == now);
  CHECK(key.Number(2).not_after == now + 31 * kDay);
  CHECK(key.Number(1).not_after == now + kDay);
  CHECK(key.Run(now + kDay) == 1);
  CHECK(key.Number(1).state == KeyState::kDeactivated);
}

TEST_CASE("without an overlap a rotation by hand ends the former version at once") {
  Key key = Fresh({});
  key.Apply(PlanRotateNow({}, key.versions, kStart + 5));
  CHECK(key.Number(1).state == KeyState::kDeactivated);
  CHECK(key.Number(2).state == KeyState::kActive);
}

TEST_CASE("a rekey ends what was known at once and wipes what was made ahead") {
  Key key = Fresh();
  key.Run(kStart + 23 * kDay);
  key.Apply(PlanRekey(key.policy, key.versions, kStart + 24 * kDay));
  CHECK(key.Number(1).state == KeyState::kDeactivated);
  CHECK(key.Number(2).state == KeyState::kDestroyed);
  CHECK(key.Number(2).wrapped.bytes.empty());
  CHECK(key.Number(3).state == KeyState::kActive);
  CHECK(key.Run(kStart + 24 * kDay) == 0);
}

TEST_CASE("when the version made ahead is gone, another is made") {
  Key key = Fresh();
  key.Run(kStart + 23 * kDay);
  key.Apply(PlanStep(key.versions, 0, KeyState::kDestroyed, "destroy", kStart + 23 * kDay));
  CHECK_FALSE(key.Number(1).superseded);
  CHECK(key.Run(kStart + 23 * kDay) == 2);
  CHECK(key.Number(3).state == KeyState::kPreActive);
}

TEST_CASE("a suspended or compromised key is not rotated by the clock") {
  for (const auto& [step, state] :
       {std::pair("suspend", KeyState::kSuspended), std::pair("compromise", KeyState::kCompromised)}) {
    const std::string action = step;
    CAPTURE(action);
    Key key = Fresh();
    key.Apply(PlanStep(key.versions, 0, state, action, kStart));
    CHECK(key.Run(kStart + 400 * kDay) == 0);
  }
}

TEST_CASE("while the newer version is set aside, the former's overlap starts no other") {
  Key key = Fresh();
  key.Run(kStart + 23 * kDay);
  key.Run(kStart + 30 * kDay);
  key.Apply(PlanStep(key.versions, 0, KeyState::kSuspended, "suspend", kStart + 30 * kDay));
  CHECK(key.Run(kStart + 30 * kDay + 60) == 0);
  key.Apply(PlanStep(key.versions, 0, KeyState::kActive, "resume", kStart + 30 * kDay + 120));
  CHECK(key.versions.size() == 2);
  CHECK(key.Number(1).superseded);
}

TEST_CASE("only as many versions are kept as the policy says, and only deactivated ones are wiped") {
  Key key = Fresh({30 * kDay, kDay, 7 * kDay, 3});
  std::int64_t now = kStart;
  for (int day = 0; day < 200; ++day) key.Run(now += kDay);
  const auto with_material =
      std::count_if(key.versions.begin(), key.versions.end(),
                    [](const KeyVersion& version) { return version.state != KeyState::kDestroyed; });
  CHECK(with_material == 3);
  CHECK(key.versions.size() > 5);
  CHECK(key.versions.back().state == KeyState::kDestroyed);
  CHECK(CurrentVersion(key.versions) != nullptr);
}

TEST_CASE("a shorter period holds for versions that exist; a longer one never takes back a promised end") {
  Key key = Fresh();
  key.policy.crypto_period = 10 * kDay;
  CHECK(RotationTime(key.policy, key.Number(1)) == kStart + 10 * kDay);
  key.policy.crypto_period = 300 * kDay;
  CHECK(RotationTime(key.policy, key.Number(1)) == kStart + 30 * kDay);
  key.policy = {};
  key.Run(kStart + 31 * kDay);
  CHECK(key.Number(1).state == KeyState::kDeactivated);
  CHECK(key.Number(2).state == KeyState::kActive);
  CHECK_FALSE(key.Number(2).not_after.has_value());
}

TEST_CASE("at any time at most two versions are active, and one is, whatever the run's pace") {
  for (const std::int64_t pace : {std::int64_t{3600}, kDay, 5 * kDay, 40 * kDay, 95 * kDay}) {
    CAPTURE(pace);
    Key key = Fresh();
    for (std::int64_t now = kStart; now < kStart + 400 * kDay; now += pace) {
      key.Run(now);
      const auto active =
          std::count_if(key.versions.begin(), key.versions.end(),
                        [](const KeyVersion& version) { return version.state == KeyState::kActive; });
      REQUIRE(active >= 1);
      REQUIRE(active <= 2);
      REQUIRE(key.Run(now) == 0);
    }
  }
}

}  // namespace skms::keystore
