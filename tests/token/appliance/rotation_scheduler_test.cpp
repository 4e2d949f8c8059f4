// The scheduler's pace, and what it does when the clock is wrong.
#include "appliance/rotation_scheduler.h"

#include <doctest/doctest.h>

#include "tests/token/keystore/store_fixture.h"

namespace skms::appliance {
namespace {

using namespace keystore::test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words
using std::chrono::hours;
using std::chrono::milliseconds;

constexpr std::int64_t kDaySeconds = 86400;

class Fixture : public StoreFixture {
 public:
  Fixture() {
    keystore::Service service = ServiceNamed("s");
    service.rotation = {30 * kDaySeconds, 86400, 7 * kDaySeconds, 0};
    Must(store->SetService(admin, service));
    for (int i = 0; i < 3; ++i) Must(store->Deliver(Val1(), ForUser("u" + std::to_string(i))));
  }
  RotationOptions Options() const {
    RotationOptions options;
    options.keys_in_a_run = 1;
    return options;
  }
  long long Versions() const { return Number("SELECT count(*) FROM key_versions"); }
};

}  // namespace

TEST_CASE("it works in small steps until it has caught up, then waits") {
  Fixture f;
  RotationScheduler scheduler(*f.store, f.clock, f.Options());
  CHECK(scheduler.Tick() == f.Options().interval);
  f.clock.Advance(hours(24 * 23));
  scheduler.Tick();
  CHECK(f.Versions() == 4);
  CHECK(scheduler.report().behind);
  scheduler.Tick();
  CHECK(scheduler.Tick() == f.Options().interval);
  CHECK(f.Versions() == 6);
  CHECK_FALSE(scheduler.report().behind);
  CHECK(scheduler.report().made == 3);
}

TEST_CASE("a clock that leaps a year forward holds rotation until it comes back") {
  Fixture f;
  RotationScheduler scheduler(*f.store, f.clock, f.Options());
  scheduler.Tick();
  f.clock.SetForward(hours(24 * 365));
  for (int i = 0; i < 5; ++i) scheduler.Tick();
  CHECK(scheduler.report().held);
  CHECK(scheduler.report().reason.find("31536000 s") != std::string::npos);
  CHECK(f.Versions() == 3);
  f.clock.SetForward(-hours(24 * 365));
  for (int i = 0; i < 5; ++i) scheduler.Tick();
  CHECK_FALSE(scheduler.report().held);
  CHECK(f.Versions() == 3);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'rotation.hold'") == 1);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'rotation.resume'") == 1);
}

TEST_CASE("an administrator may say that the time after a leap is right") {
  Fixture f;
  RotationScheduler scheduler(*f.store, f.clock, f.Options());
  CHECK(scheduler.Resume(keystore::PrincipalId("admin:0")).error().code == ErrorCode::kConflict);
  f.clock.SetForward(hours(24 * 365));
  scheduler.Tick();
  Must(scheduler.Resume(keystore::PrincipalId("admin:0")));
  for (int i = 0; i < 5; ++i) scheduler.Tick();
  CHECK(f.Versions() == 6);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'rotation.resume' AND actor = 'admin:0'") == 1);
}

TEST_CASE("a clock set back by an hour, or forward by little, holds nothing and rotates nothing early") {
  Fixture f;
  RotationScheduler scheduler(*f.store, f.clock, f.Options());
  for (const auto step : {-hours(1), hours(1), -hours(20), hours(20)}) {
    f.clock.SetForward(step);
    scheduler.Tick();
    CHECK_FALSE(scheduler.report().held);
  }
  CHECK(f.Versions() == 3);
  CHECK(Must(f.store->Deliver(f.Val1(), ForUser("u0"))).keys.size() == 1);
}

TEST_CASE("a hold outlives a restart, which cannot know that the clock had leapt") {
  Fixture f;
  {
    RotationScheduler scheduler(*f.store, f.clock, f.Options());
    scheduler.Tick();
    f.clock.SetForward(hours(24 * 365));
    scheduler.Tick();
  }
  f.Reopen();
  RotationScheduler scheduler(*f.store, f.clock, f.Options());
  CHECK(scheduler.ClockIsSuspect());
  for (int i = 0; i < 5; ++i) scheduler.Tick();
  CHECK(scheduler.report().held);
  CHECK(scheduler.report().reason.find("31536000 s at once (before the restart)") != std::string::npos);
  CHECK(f.Versions() == 3);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'rotation.hold'") == 1);

  SUBCASE("it ends when the clock comes back") { f.clock.SetForward(-hours(24 * 365)); }
  SUBCASE("it ends at an administrator's word") {
    Must(scheduler.Resume(keystore::PrincipalId("admin:0")));
    scheduler.Tick();
    CHECK_FALSE(scheduler.report().held);
    CHECK(f.Versions() == 4);
    return;
  }
  scheduler.Tick();
  CHECK_FALSE(scheduler.report().held);
  CHECK_FALSE(scheduler.ClockIsSuspect());
  CHECK_FALSE(Must(f.store->HeldRotation()).has_value());
  CHECK(f.Versions() == 3);
}

TEST_CASE("it stops at once, also in the middle of a pause") {
  Fixture f;
  RotationOptions options = f.Options();
  options.interval = hours(1);
  RotationScheduler scheduler(*f.store, f.clock, options);
  scheduler.Start();
  scheduler.Stop();
  scheduler.Stop();
}

}  // namespace skms::appliance
