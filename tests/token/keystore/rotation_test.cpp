// Rotation by the clock on a real token and database: what readers get, what is written, and what a stop
// leaves.
#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

constexpr std::chrono::hours kDay{24};

class Rotating : public StoreFixture {
 public:
  explicit Rotating(std::uint32_t kept = 0) {
    Service service = ServiceNamed("s");
    service.rotation = {30 * kDaySeconds, 86400, 7 * kDaySeconds, kept};
    Must(store->SetService(admin, service));
  }
  /// Runs until there is nothing to do; the number of changes.
  int RunAll(std::size_t most = 16) {
    int changes = 0;
    for (;;) {
      const RotationRun run = Must(store->RunRotation(most));
      changes += run.changes();
      if (!run.more) return changes;
    }
  }
  SharedValues<DeliveredVersion> Keys(const Selector& selector) {
    return Must(store->Deliver(Val1(), selector)).keys;
  }
};

}  // namespace

TEST_CASE("answers carry the current and the next version with their validity") {
  Rotating f;
  const std::int64_t start = f.clock.NowSeconds();
  const auto first = f.Keys(ForUser("alice"));
  REQUIRE(first.size() == 1);
  CHECK(first[0].version.not_after == start + 31 * kDaySeconds);
  f.clock.Advance(23 * kDay);
  CHECK(f.RunAll() == 1);
  const auto both = f.Keys(ForUser("alice"));
  REQUIRE(both.size() == 2);
  CHECK(both[0].version.kid == first[0].version.kid);
  CHECK(both[1].version.state == KeyState::kPreActive);
  CHECK(both[1].version.not_before == start + 30 * kDaySeconds);
  CHECK(both[1].wrapped.has_value());

  f.clock.Advance(7 * kDay);
  CHECK(f.RunAll() == 1);
  const auto switched = f.Keys(ForUser("alice"));
  REQUIRE(switched.size() == 2);
  CHECK(switched[0].version.kid == both[1].version.kid);
  CHECK(switched[1].version.state == KeyState::kActive);
  f.clock.Advance(kDay);
  CHECK(f.RunAll() == 1);
  CHECK(f.Keys(ForUser("alice"))[1].version.state == KeyState::kDeactivated);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE actor = 'scheduler' AND action = 'make-ahead'") == 1);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE actor = 'scheduler' AND action = 'key.activate'") == 1);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE actor = 'scheduler' AND action = 'key.deactivate'") == 1);
  CHECK(f.store->VerifyAudit().has_value());
}

TEST_CASE("a run that finds nothing due writes nothing") {
  Rotating f;
  f.Keys(ForService());
  f.clock.Advance(23 * kDay);
  CHECK(f.RunAll() == 1);
  const auto entries = f.store->Audit().value().entries;
  for (int i = 0; i < 5; ++i) CHECK(f.RunAll() == 0);
  f.Reopen();
  CHECK(f.RunAll() == 0);
  CHECK(f.store->Audit().value().entries == entries);
}

TEST_CASE("a week's stop is caught up in small runs, and each key once") {
  Rotating f;
  for (int i = 0; i < 40; ++i) f.Keys(ForUser("user-" + std::to_string(i)));
  f.Close();
  f.clock.Advance(37 * kDay);
  f.Reopen();
  const RotationRun first = Must(f.store->RunRotation(8));
  CHECK(first.made == 8);
  CHECK(first.more);
  CHECK(f.RunAll(8) == 32);
  CHECK(f.Number("SELECT count(*) FROM key_versions") == 80);
  CHECK(f.Number("SELECT count(*) FROM key_versions WHERE state = 'active' AND superseded = 0") == 40);
}

TEST_CASE("how many versions are in each state is counted beside the rows, whatever happens to them") {
  Rotating f;
  const auto counted = [&f](const std::string& state) {
    const StateCounts counts = Must(f.store->CountKeyStates());
    CHECK(counts.size() == 6);
    const auto found =
        std::find_if(counts.begin(), counts.end(), [&](const auto& one) { return one.first == state; });
    REQUIRE(found != counts.end());
    CHECK(found->second == f.Number("SELECT count(*) FROM key_versions WHERE state = '" + state + "'"));
    return found->second;
  };
  for (int i = 0; i < 3; ++i) f.Keys(ForUser("user-" + std::to_string(i)));
  CHECK(counted("active") == 3);
  for (int day = 0; day < 60; ++day) {
    f.clock.Advance(kDay);
    f.RunAll();
  }
  CHECK(counted("pre-active") + counted("active") + counted("deactivated") + counted("destroyed") >= 6);
  CHECK(counted("deactivated") > 0);
  CHECK(Must(f.store->CountKeyVersions()) == f.Number("SELECT count(*) FROM key_versions"));
  f.Tamper("DELETE FROM key_versions WHERE state = 'deactivated'");
  CHECK(counted("deactivated") == 0);
}

TEST_CASE("how far rotation is behind is told without doing it") {
  Rotating f;
  for (int i = 0; i < 3; ++i) f.Keys(ForUser("user-" + std::to_string(i)));
  CHECK(Must(f.store->ReadRotationBacklog()).due == 0);
  CHECK(Must(f.store->ReadRotationBacklog()).late == 0);
  f.clock.Advance(37 * kDay);
  const RotationBacklog behind = Must(f.store->ReadRotationBacklog());
  CHECK(behind.due >= 3);
  CHECK(behind.late > 10 * 86400);
  CHECK(behind.late < 37 * 86400);
  f.RunAll();
  CHECK(Must(f.store->ReadRotationBacklog()).due == 0);
}

TEST_CASE("the switch of a policy from none to a period takes the keys along that are there") {
  StoreFixture f;
  Must(f.store->Deliver(f.Val1(), ForService()));
  f.clock.Advance(100 * kDay);
  CHECK(Must(f.store->RunRotation(8)).changes() == 0);
  Service service = f.ServiceNamed("s");
  service.rotation = {30 * kDaySeconds, 0, 0, 0};
  Must(f.store->SetService(f.admin, service));
  CHECK(Must(f.store->RunRotation(8)).made == 1);
}

TEST_CASE("versions past the number kept are wiped, from the file and its log too") {
  Rotating f(3);
  SKMS_OF_SQLITE(f);
  f.Keys(ForService());
  const std::string wrapped = f.Text("SELECT wrapped FROM key_versions");
  REQUIRE(wrapped.size() > 40);
  const std::string path = f.options().path;
  CHECK((Octets(path) + Octets(path + "-wal")).find(wrapped) != std::string::npos);  // the search does find
  for (int day = 0; day < 160; ++day) {
    f.clock.Advance(kDay);
    f.RunAll();
  }
  CHECK(f.Number("SELECT count(*) FROM key_versions WHERE wrapped != ''") == 3);
  CHECK(f.Number("SELECT count(*) FROM key_versions WHERE state = 'destroyed' AND wrapped = ''") >= 2);
  CHECK((Octets(path) + Octets(path + "-wal")).find(wrapped) == std::string::npos);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'key.destroy'") >= 2);
}

TEST_CASE("when an administrator takes away what was made ahead, it is made again before the switch") {
  Rotating f;
  const std::int64_t start = f.clock.NowSeconds();
  f.Keys(ForService());
  f.clock.Advance(23 * kDay);
  f.RunAll();
  f.RunAll();  // nothing more to do: the service is quiet from here on
  const Kid ahead = f.Keys(ForService())[1].version.kid;
  f.clock.Advance(kDay);
  Must(f.store->ChangeKey(f.admin, ahead, {"destroy", "drill"}));
  CHECK(f.RunAll() == 1);
  const auto keys = f.Keys(ForService());
  REQUIRE(keys.size() == 2);
  CHECK(keys[1].version.state == KeyState::kPreActive);
  CHECK(keys[1].version.not_before == start + 30 * kDaySeconds);
}

TEST_CASE("a longer period does not keep the next version from being made ahead of a promised end") {
  Rotating f;
  f.Keys(ForService());
  f.clock.Advance(10 * kDay);
  Service service = Must(f.store->FindService(ValServiceId("s")));
  service.rotation.crypto_period = 90 * kDaySeconds;
  Must(f.store->SetService(f.admin, service));
  CHECK(f.RunAll() == 0);
  f.clock.Advance(13 * kDay);
  CHECK(f.RunAll() == 1);
  CHECK(f.Keys(ForService()).size() == 2);
}

TEST_CASE("a compromise with rotation in the overlap ends the former version and makes one new one") {
  Rotating f;
  f.Keys(ForService());
  f.clock.Advance(23 * kDay);
  f.RunAll();
  f.clock.Advance(7 * kDay);
  f.RunAll();
  const auto both = f.Keys(ForService());
  REQUIRE(both.size() == 2);
  REQUIRE(both[1].version.state == KeyState::kActive);
  Must(f.store->ChangeKey(f.admin, both[0].version.kid, {"compromise", "laptop stolen", true}));
  const auto keys = f.Keys(ForService());
  CHECK(keys[0].version.version == 3);
  CHECK(keys[1].version.state == KeyState::kDeactivated);
  CHECK(f.Number("SELECT count(*) FROM key_versions WHERE state = 'active'") == 1);
}

TEST_CASE("one key that was changed by hand does not keep the others from rotating") {
  Rotating f;
  for (const char* user : {"a", "b", "c"}) f.Keys(ForUser(user));
  f.Tamper("UPDATE key_versions SET not_before = not_before - 86400 WHERE target = 'a'");
  f.clock.Advance(23 * kDay);
  const RotationRun run = Must(f.store->RunRotation(1));
  CHECK(run.failed == 1);
  CHECK(f.RunAll(1) == 2);
  CHECK(f.Number("SELECT count(*) FROM key_versions WHERE target = 'a'") == 1);
}

TEST_CASE("the marks that rotation goes by are under the row's MAC") {
  for (const std::string edit : {"superseded = 1", "not_after = not_after + 1", "group_revision = 5"}) {
    CAPTURE(edit);
    Rotating f;
    f.Keys(ForService());
    f.Tamper("UPDATE key_versions SET " + edit);
    CHECK(f.store->Deliver(f.Val1(), ForService()).error().code == ErrorCode::kIntegrity);
  }
}

TEST_CASE("a rotation period shorter than its overlap is refused, and so is nonsense") {
  StoreFixture f;
  for (const RotationPolicy& wrong :
       {RotationPolicy{100, 100, 0, 0}, RotationPolicy{100, 200, 0, 0}, RotationPolicy{100, 0, 100, 0},
        RotationPolicy{-1, 0, 0, 0}, RotationPolicy{0, 0, 5, 0}, RotationPolicy{100, 0, 0, 2},
        RotationPolicy{std::int64_t{1} << 60, 0, 0, 0}}) {
    CAPTURE(wrong.crypto_period);
    Service service = f.ServiceNamed("s");
    service.rotation = wrong;
    CHECK(f.store->SetService(f.admin, service).error().code == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("a service makes no more records than its policy allows, and says so to the administrator") {
  StoreFixture f;
  Service service = f.ServiceNamed("s");
  service.max_records = 2;
  Must(f.store->SetService(f.admin, service));
  Must(f.store->Deliver(f.Val1(), ForUser("a")));
  Must(f.store->Deliver(f.Val1(), ForUser("b")));
  Must(f.store->Rotate(f.admin, ForUser("b")));  // a version of a record that is there
  CHECK(f.store->Deliver(f.Val1(), ForUser("c")).error().code == ErrorCode::kPermissionDenied);
  CHECK(f.store->Rotate(f.admin, ForUser("c")).error().detail.find("--max-records") != std::string::npos);
  f.Reopen();
  CHECK(f.store->Deliver(f.Val1(), ForUser("d")).has_error());
  service.max_records = 3;
  Must(f.store->SetService(f.admin, service));
  CHECK(f.store->Deliver(f.Val1(), ForUser("c")).has_value());
}

TEST_CASE("a client has keys of its own, and nobody falls back to the service's") {
  StoreFixture f;
  Service service = f.ServiceNamed("s");
  service.scopes = {TargetKind::kService, TargetKind::kUser, TargetKind::kClient};
  service.generate_on_request = false;
  Must(f.store->SetService(f.admin, service));
  Must(f.store->Rotate(f.admin, ForService()));
  CHECK(f.store->Deliver(f.Val1(), ForUser("alice")).error().code == ErrorCode::kNotFound);
  const Selector client{ValServiceId("s"), TargetKind::kClient, "client-1"};
  CHECK(f.store->Deliver(f.Val1(), client).error().code == ErrorCode::kNotFound);
  const KeyVersion made = Must(f.store->Rotate(f.admin, client));
  CHECK(Must(f.store->Deliver(f.Val1(), client)).keys.at(0).version.kid == made.kid);
  CHECK(f.store->Deliver(f.Val1(), ForUser("client-1")).error().code == ErrorCode::kNotFound);
}

TEST_CASE("activating by hand is rotating by hand, with the version made ahead") {
  Rotating f;
  f.Keys(ForService());
  f.clock.Advance(23 * kDay);
  f.RunAll();
  const Kid next = f.Keys(ForService())[1].version.kid;
  const KeyVersion activated = Must(f.store->ChangeKey(f.admin, next, {"activate", "early"}));
  CHECK(activated.state == KeyState::kActive);
  f.Reopen();
  CHECK(f.Keys(ForService())[0].version.kid == next);
  CHECK(f.Keys(ForService())[0].version.not_before == f.clock.NowSeconds());
}

TEST_CASE("a compromise with rotation also drops the version that was made ahead") {
  Rotating f;
  const Kid first = f.Keys(ForService())[0].version.kid;
  f.clock.Advance(23 * kDay);
  f.RunAll();
  Must(f.store->ChangeKey(f.admin, first, {"compromise", "laptop stolen", true}));
  const auto keys = f.Keys(ForService());
  REQUIRE(keys.size() == 1);
  CHECK(keys[0].version.version == 3);
  CHECK(f.Number("SELECT count(*) FROM key_versions WHERE state = 'destroyed'") == 1);
}

}  // namespace skms::keystore
