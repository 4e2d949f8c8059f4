// A key's life as an administrator leads it: what each step leaves behind, and what a reader still gets.
#include <doctest/doctest.h>

#include <filesystem>
#include <iterator>

#include "base/encoding.h"
#include "keystore/row_mac.h"
#include "keystore/schema.h"
#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

Kid FirstKid(StoreFixture& f, const Selector& selector) {
  return Must(f.store->Deliver(f.Val1(), selector)).keys.at(0).version.kid;
}

KeyVersion Step(StoreFixture& f, const Kid& kid, const std::string& action) {
  return Must(f.store->ChangeKey(f.admin, kid, {action, "drill"}));
}

TEST_CASE("a suspended key is not handed out until it is resumed, and both are in the chain") {
  StoreFixture f;
  const Kid kid = FirstKid(f, ForService());
  f.clock.Advance(std::chrono::seconds(5));
  const KeyVersion suspended = Step(f, kid, "suspend");
  CHECK(suspended.state == KeyState::kSuspended);
  CHECK(suspended.suspended == f.clock.NowSeconds());
  CHECK(suspended.changed_by == "admin:0");
  CHECK(f.store->Deliver(f.Val1(), ForService()).error().code == ErrorCode::kNotFound);
  f.Reopen();
  CHECK(f.store->Deliver(f.Val1(), ForService()).error().code == ErrorCode::kNotFound);
  CHECK_FALSE(Step(f, kid, "resume").suspended.has_value());
  CHECK(FirstKid(f, ForService()) == kid);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'key.suspend' AND reason = 'drill'") == 1);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'key.resume'") == 1);
}

TEST_CASE("a deactivated key still goes out, after the new one and for processing only") {
  StoreFixture f;
  const Kid old = FirstKid(f, ForService());
  const KeyVersion next = Must(f.store->Rotate(f.admin, ForService()));
  const auto answer = Must(f.store->Deliver(f.Val1(), ForService()));
  REQUIRE(answer.keys.size() == 2);
  CHECK(answer.keys[0].version.kid == next.kid);
  CHECK(answer.keys[1].version.kid == old);
  CHECK(answer.keys[1].version.state == KeyState::kDeactivated);
  CHECK(answer.keys[1].wrapped.has_value());
  // Each key that went out has an entry of its own.
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'deliver' AND kid = '" + old.value() + "'") == 2);
}

TEST_CASE("a compromised key goes out on an administrator's word only") {
  StoreFixture f;
  const Kid kid = FirstKid(f, ForService());
  CHECK(f.store->ChangeKey(f.admin, kid, {"release", "too early"}).error().code == ErrorCode::kConflict);
  CHECK(Step(f, kid, "compromise").compromised == f.clock.NowSeconds());
  CHECK(f.store->Deliver(f.Val1(), ForService()).error().code == ErrorCode::kNotFound);
  CHECK(Step(f, kid, "release").released);
  CHECK(FirstKid(f, ForService()) == kid);
  Step(f, kid, "withhold");
  CHECK(f.store->Deliver(f.Val1(), ForService()).has_error());
}

TEST_CASE("a compromise can make the next version in the same step") {
  StoreFixture f;
  const Kid kid = FirstKid(f, ForUser("alice"));
  CHECK(f.store->ChangeKey(f.admin, kid, {"suspend", "x", true}).error().code == ErrorCode::kInvalidArgument);
  Must(f.store->ChangeKey(f.admin, kid, {"compromise", "laptop stolen", true}));
  const auto answer = Must(f.store->Deliver(f.Val1(), ForUser("alice")));
  REQUIRE(answer.keys.size() == 1);
  CHECK(answer.keys[0].version.version == 2);
  CHECK(answer.keys[0].version.kid != kid);
}

TEST_CASE("a destroyed key leaves a tombstone and no wrapped octets in the file or its log") {
  StoreFixture f;
  SKMS_OF_SQLITE(f);
  const Kid kid = FirstKid(f, ForUser("alice"));
  Must(f.store->Rotate(f.admin, ForUser("alice")));
  const std::string wrapped = f.Text("SELECT wrapped FROM key_versions WHERE kid = '" + kid.value() + "'");
  REQUIRE(wrapped.size() > 40);
  const std::string path = f.options().path;
  CHECK((Octets(path) + Octets(path + "-wal")).find(wrapped) != std::string::npos);  // the search does find
  const KeyVersion planned = Must(f.store->ChangeKey(f.admin, kid, {"destroy", "drill", false, true}));
  CHECK(planned.state == KeyState::kDestroyed);
  CHECK(Must(f.store->ShowKey(kid)).state == KeyState::kDeactivated);  // a dry run changes nothing

  f.clock.Advance(std::chrono::minutes(1));
  CHECK(Step(f, kid, "destroy").destroyed == f.clock.NowSeconds());
  CHECK((Octets(path) + Octets(path + "-wal")).find(wrapped) == std::string::npos);
  CHECK(std::filesystem::file_size(path + "-wal") == 0);
  f.Close();
  f.Tamper("VACUUM");
  CHECK(Octets(path).find(wrapped) == std::string::npos);
  f.Reopen();
  const KeyVersion tombstone = Must(f.store->ShowKey(kid));
  CHECK(tombstone.state == KeyState::kDestroyed);
  CHECK(tombstone.changed_by == "admin:0");
  CHECK(tombstone.reason == "drill");
  CHECK(Must(f.store->Deliver(f.Val1(), ForUser("alice"))).keys.size() == 1);
}

TEST_CASE("a selector whose only key is destroyed gets no new one by asking") {
  StoreFixture f;
  const Kid kid = FirstKid(f, ForUser("alice"));
  Step(f, kid, "deactivate");
  Step(f, kid, "destroy");
  CHECK(f.store->Deliver(f.Val1(), ForUser("alice")).error().code == ErrorCode::kNotFound);
  CHECK(Must(f.store->Rotate(f.admin, ForUser("alice"))).version == 2);
}

TEST_CASE("what is not allowed is refused with the allowed actions, and nothing changes") {
  StoreFixture f;
  const Kid kid = FirstKid(f, ForService());
  const auto refused = f.store->ChangeKey(f.admin, kid, {"destroy", "x"});
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(refused.error().detail.find("suspend, deactivate, compromise") != std::string::npos);
  CHECK(f.store->ChangeKey(f.admin, kid, {"suspend", ""}).error().code == ErrorCode::kInvalidArgument);
  CHECK(f.store->ChangeKey(f.admin, Kid("none"), {"suspend", "x"}).error().code == ErrorCode::kNotFound);
  CHECK(Must(f.store->ShowKey(kid)).state == KeyState::kActive);
}

TEST_CASE("a suspended key does not come back beside a newer active one") {
  StoreFixture f;
  const Kid kid = FirstKid(f, ForService());
  Step(f, kid, "suspend");
  Must(f.store->Rotate(f.admin, ForService()));
  const auto refused = f.store->ChangeKey(f.admin, kid, {"resume", "x"});
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(refused.error().detail.find("version 2") != std::string::npos);
}

TEST_CASE("who, why, the times and the release are under the row's MAC") {
  for (const std::string edit : {"released = 1", "changed_by = 'x'", "reason = 'x'", "compromised = NULL",
                                 "suspended = 5", "destroyed = 5", "changed_by = ''"}) {
    CAPTURE(edit);
    StoreFixture f;
    const Kid kid = FirstKid(f, ForService());
    Step(f, kid, "compromise");
    f.Tamper("UPDATE key_versions SET " + edit);
    CHECK(f.store->ShowKey(kid).error().code == ErrorCode::kIntegrity);
    CHECK(f.store->ChangeKey(f.admin, kid, {"release", "x"}).error().code == ErrorCode::kIntegrity);
  }
}

TEST_CASE("no kid looks like an option") {
  StoreFixture f;
  int lowest = 255;
  for (int i = 0; i < 400; ++i) {  // were '-' allowed, it would be missing once in 540 runs
    const std::string kid = Must(f.store->Rotate(f.admin, ForUser("u" + std::to_string(i)))).kid.value();
    lowest = std::min<int>(lowest, static_cast<unsigned char>(kid.front()));
  }
  CHECK(lowest > '-');
}

TEST_CASE("a database of schema version 1 comes forward with its keys") {
  StoreFixture f;
  SKMS_OF_SQLITE(f);
  const Kid kid = FirstKid(f, ForService());
  Must(f.store->AddRecipient(f.admin,
                             {RecipientId("r"), PrincipalId("val-1"), hsm::RsaRecipient{f.client.spki}}));
  f.Close();
  f.Tamper("DROP TABLE payloads");
  f.Tamper("DROP TABLE audit_checkpoints");
  f.Tamper("ALTER TABLE recipients RENAME TO newer");
  f.Tamper(
      "CREATE TABLE recipients (id TEXT PRIMARY KEY, principal TEXT NOT NULL UNIQUE REFERENCES "
      "principals(id),"
      " kind TEXT NOT NULL, public_key TEXT NOT NULL, kek_generation INTEGER NOT NULL, wrap_format TEXT NOT "
      "NULL,"
      " wrapped TEXT NOT NULL, mac_generation INTEGER NOT NULL, mac TEXT NOT NULL)");
  f.Tamper(
      "INSERT INTO recipients SELECT id, principal, kind, public_key, kek_generation, wrap_format, wrapped,"
      " mac_generation, mac FROM newer");
  f.Tamper("DROP TABLE newer");
  for (const char* column :
       {"provisioners", "ue_issuers", "ue_service_key", "home", "home_permanent", "home_ue", "recipients"})
    f.Tamper(std::string("ALTER TABLE services DROP COLUMN ") + column);
  for (const char* column : {"jwks_uri", "jwks_ca", "services_claim", "user_claim", "ue_claim",
                             "client_claim", "provisioning_claim", "provisioning_values"})
    f.Tamper(std::string("ALTER TABLE issuers DROP COLUMN ") + column);
  for (const char* index : {"ahead", "ending", "rotating", "promised", "aside"})
    f.Tamper(std::string("DROP INDEX key_versions_") + index);
  for (const char* table : {"service_records", "group_members", "val_groups", "subscription_positions",
                            "subscriptions", "key_events"})
    f.Tamper(std::string("DROP TABLE ") + table);
  for (const char* column : {"crypto_period", "overlap", "make_ahead", "versions_kept", "max_records",
                             "group_servers", "join_policy"})
    f.Tamper(std::string("ALTER TABLE services DROP COLUMN ") + column);
  for (const char* column : {"suspended", "compromised", "destroyed", "released", "changed_by", "reason",
                             "superseded", "group_revision"})
    f.Tamper(std::string("ALTER TABLE key_versions DROP COLUMN ") + column);
  f.Tamper("UPDATE meta SET value = '1' WHERE name = 'schema_version'");
  f.Reopen();
  CHECK(f.store->schema_version() == kSchemaVersion);
  CHECK(f.Number("SELECT records FROM service_records WHERE service = 's'") == 1);
  CHECK(FirstKid(f, ForService()) == kid);
  CHECK(f.store->Recipients().size() == 1);
  CHECK(Step(f, kid, "suspend").state == KeyState::kSuspended);
}

TEST_CASE("a database of schema version 4 comes forward, and its services' MACs stay good") {
  StoreFixture f;
  SKMS_OF_SQLITE(f);
  Service service = f.ServiceNamed("s");
  service.access.home = "https://h";
  Must(f.store->SetService(f.admin, service));
  f.Close();
  for (const char* column : {"home_ue", "recipients"})
    f.Tamper(std::string("ALTER TABLE services DROP COLUMN ") + column);
  f.Tamper("DROP TABLE audit_checkpoints");
  f.Tamper("UPDATE meta SET value = '4' WHERE name = 'schema_version'");
  // The fields as version 4 wrote them, spelt out: what makes MACs today must not be its own measure.
  RowFields fields("services v1");
  fields.Add("s")
      .Add("aes-256")
      .Add("service,user,ue")
      .Add(std::int64_t{1})
      .Add("wrapped")
      .Add("val-1")
      .Add("");
  fields.Add("access v4").Add("").Add("").Add(std::int64_t{0}).Add("https://h").Add(std::int64_t{0});
  const std::string mac = Must(MakeRowMac(*f.module, fields)).text;
  f.Tamper("UPDATE services SET mac = '" + mac + "'");
  f.Reopen();
  CHECK(f.Text("SELECT value FROM meta WHERE name = 'schema_version'") == std::to_string(kSchemaVersion));
  CHECK(f.store->FindService(service.id).value().access == service.access);
  service.access.home_ue = "https://h:8444";
  Must(f.store->SetService(f.admin, service));
  f.Reopen();
  CHECK(f.store->FindService(service.id).value().access == service.access);
}

TEST_CASE("a database of schema version 5 comes forward: any recipients, and the MACs stay good") {
  StoreFixture f;
  SKMS_OF_SQLITE(f);
  f.Close();
  f.Tamper("ALTER TABLE services DROP COLUMN recipients");
  f.Tamper("DROP TABLE audit_checkpoints");
  f.Tamper("UPDATE meta SET value = '5' WHERE name = 'schema_version'");
  // The fields as version 5 wrote them.
  RowFields fields("services v1");
  fields.Add("s")
      .Add("aes-256")
      .Add("service,user,ue")
      .Add(std::int64_t{1})
      .Add("wrapped")
      .Add("val-1")
      .Add("");
  f.Tamper("UPDATE services SET mac = '" + Must(MakeRowMac(*f.module, fields)).text + "'");
  f.Reopen();
  CHECK(f.store->schema_version() == kSchemaVersion);
  CHECK(f.store->FindService(ValServiceId("s")).value().recipients == Recipients::kAny);
  CHECK(f.store->Deliver(f.Val1(), ForService()).has_value());
}

TEST_CASE("whose keys go where is under the service's MAC, in both directions") {
  for (const std::string edit : {"recipients = 'trusted'", "recipients = 'all'"}) {
    CAPTURE(edit);
    StoreFixture f;
    f.Close();
    f.Tamper("UPDATE services SET " + edit);
    const auto opened = KeyStore::Open(f.options(), *f.module, f.clock);
    REQUIRE(opened.has_error());
    CHECK(opened.error().code == ErrorCode::kIntegrity);
  }
}

}  // namespace
}  // namespace skms::keystore
