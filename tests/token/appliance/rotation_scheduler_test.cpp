// The scheduler's pace, and what it does when the clock is wrong.
#include "appliance/rotation_scheduler.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/token/keystore/store_fixture.h"

namespace skms::appliance {
namespace {

using namespace keystore::test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words
using std::chrono::hours;
using std::chrono::milliseconds;

constexpr std::int64_t kDaySeconds = 86400;

class SchedulerFixture : public StoreFixture {
 public:
  SchedulerFixture() {
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

/// The clock leaps under a running scheduler, which then ends; the store is opened again.
void HoldAndRestart(SchedulerFixture& f, const std::vector<hours>& leaps) {
  {
    RotationScheduler scheduler(*f.store, f.clock, f.Options());
    scheduler.Tick();
    for (const hours leap : leaps) {
      f.clock.SetForward(leap);
      scheduler.Tick();
    }
  }
  f.Reopen();
}

}  // namespace

TEST_CASE("it works in small steps until it has caught up, then waits") {
  SchedulerFixture f;
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
  SchedulerFixture f;
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
  SchedulerFixture f;
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
  SchedulerFixture f;
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
  SchedulerFixture f;
  HoldAndRestart(f, {hours(24 * 365)});
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

TEST_CASE("after a restart a clock that is set back a little is still wrong") {
  SchedulerFixture f;
  HoldAndRestart(f, {hours(24 * 365)});
  SUBCASE("mended while the daemon was away") {
    f.clock.SetForward(-hours(24 * 365));
    RotationScheduler scheduler(*f.store, f.clock, f.Options());
    scheduler.Tick();
    CHECK_FALSE(scheduler.report().held);
  }
  SUBCASE("mended by half") {
    RotationScheduler scheduler(*f.store, f.clock, f.Options());
    scheduler.Tick();
    f.clock.SetForward(-hours(24 * 180));
    for (int i = 0; i < 5; ++i) scheduler.Tick();
    CHECK(scheduler.report().held);
    f.clock.SetForward(-hours(24 * 185));
    scheduler.Tick();
    CHECK_FALSE(scheduler.report().held);
    // And what was right before is not believed again.
    f.clock.SetForward(hours(24 * 365));
    scheduler.Tick();
    CHECK(scheduler.report().held);
  }
  SUBCASE("mended long after the leap") {
    RotationScheduler scheduler(*f.store, f.clock, f.Options());
    scheduler.Tick();
    f.clock.Advance(hours(24 * 500));
    f.clock.SetForward(-hours(24 * 365));
    scheduler.Tick();
    CHECK_FALSE(scheduler.report().held);
    return;
  }
  CHECK(f.Versions() == 3);
}

TEST_CASE("a clock that moves while rotation is held has to come back by what it is ahead now") {
  SchedulerFixture f;
  HoldAndRestart(f, {hours(24 * 2), hours(24 * 363)});
  RotationScheduler scheduler(*f.store, f.clock, f.Options());
  scheduler.Tick();
  f.clock.SetForward(-hours(24 * 2));
  scheduler.Tick();
  CHECK(scheduler.report().held);
  f.clock.SetForward(-hours(24 * 100));
  scheduler.Tick();
  RotationScheduler third(*f.store, f.clock, f.Options());
  third.Tick();
  CHECK(third.report().held);
  f.clock.SetForward(-hours(24 * 263));
  third.Tick();
  CHECK_FALSE(third.report().held);
  CHECK(f.Versions() == 3);
}

TEST_CASE("a hold that cannot be written is tried until it is") {
  SchedulerFixture f;
  {
    RotationScheduler scheduler(*f.store, f.clock, f.Options());
    scheduler.Tick();
    f.Tamper("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    f.clock.SetForward(hours(24 * 365));
    for (int i = 0; i < 3; ++i) scheduler.Tick();
    CHECK(scheduler.report().held);
    CHECK_FALSE(Must(f.store->HeldRotation()).has_value());
    f.Tamper("DROP TRIGGER full");
    scheduler.Tick();
    CHECK(Must(f.store->HeldRotation()).has_value());
    CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'rotation.hold'") == 1);
  }
  f.Reopen();
  RotationScheduler scheduler(*f.store, f.clock, f.Options());
  scheduler.Tick();
  CHECK(scheduler.report().held);
  CHECK(f.Versions() == 3);
}

TEST_CASE("a hold that cannot be read holds, is seen, and ends at an administrator's word") {
  SchedulerFixture f;
  for (const char* damaged :
       {"", "soon", "1800000000", "1800000000 ", "1800000000 x y", "99999999999999999999 1 r"}) {
    CAPTURE(damaged);
    f.Tamper("INSERT OR REPLACE INTO meta (name, value) VALUES ('rotation_hold', '" + std::string(damaged) +
             "')");
    RotationScheduler scheduler(*f.store, f.clock, f.Options());
    for (int i = 0; i < 2; ++i) scheduler.Tick();
    CHECK(scheduler.report().held);
    CHECK(scheduler.report().reason.find("rotation_hold") != std::string::npos);
    Must(scheduler.Resume(keystore::PrincipalId("admin:0")));
    scheduler.Tick();
    CHECK_FALSE(scheduler.report().held);
  }
}

TEST_CASE("it stops at once, also in the middle of a pause") {
  SchedulerFixture f;
  RotationOptions options = f.Options();
  options.interval = hours(1);
  RotationScheduler scheduler(*f.store, f.clock, options);
  scheduler.Start();
  scheduler.Stop();
  scheduler.Stop();
}

}  // namespace skms::appliance
