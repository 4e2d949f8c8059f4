// Somebody with the database file and SQL: whatever he changes is refused, and nothing is handed out.
#include <doctest/doctest.h>

#include <iterator>

#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

constexpr const char* kSwapWrapped =
    "UPDATE key_versions SET wrapped = (SELECT wrapped FROM key_versions WHERE target = 'b')"
    " WHERE target = 'a'";
constexpr const char* kPutInAudit =
    "INSERT INTO audit SELECT seq + 100, time_ms, actor, action, outcome, service, target_kind,"
    " target_pseudonym, kid, reason, request_id, prev_hash, hash FROM audit WHERE seq = 4";

TEST_CASE("a key row changed by hand is refused and named, and other rows still work") {
  const char* edits[] = {
      kSwapWrapped,
      "UPDATE key_versions SET target = 'c' WHERE target = 'a'",
      "UPDATE key_versions SET state = 'deactivated' WHERE target = 'a'",
      "UPDATE key_versions SET kid = 'AAAAAAAAAAAAAAAAAAAAAA' WHERE target = 'a'",
      "UPDATE key_versions SET profile = 'aes-128' WHERE target = 'a'",
      "UPDATE key_versions SET not_before = 0 WHERE target = 'a'",
      "UPDATE key_versions SET not_after = 1 WHERE target = 'a'",
      "UPDATE key_versions SET version = 2 WHERE target = 'a'",
      "UPDATE key_versions SET service = 't' WHERE target = 'a'",
      "UPDATE key_versions SET mac = (SELECT mac FROM key_versions WHERE target = 'b') WHERE target = 'a'",
      "UPDATE key_versions SET mac_generation = 7 WHERE target = 'a'",
      "UPDATE key_versions SET state = 'sleepy' WHERE target = 'a'",
      "UPDATE key_versions SET wrapped = '***' WHERE target = 'a'",
  };
  for (std::size_t i = 0; i < 2 * std::size(edits); ++i) {
    const char* edit = edits[i / 2];
    CAPTURE(edit);
    StoreFixture f;
    f.answer_cache_bytes = i % 2 * 1000000;  // what was right before it was changed, too
    CAPTURE(f.answer_cache_bytes);
    f.Reopen();
    REQUIRE(f.store->AddService(f.admin, f.ServiceNamed("t")).has_value());
    REQUIRE(f.store->Deliver(f.Val1(), ForUser("a")).has_value());
    REQUIRE(f.store->Deliver(f.Val1(), ForUser("b")).has_value());
    const auto asked = f.module->session_use().calls;
    const Kid kid = f.store->Deliver(f.Val1(), ForUser("a")).value().keys.at(0).version.kid;
    REQUIRE((f.module->session_use().calls == asked) == (f.answer_cache_bytes > 0));
    f.Tamper(edit);
    const bool moved = std::string(edit).find("target = 'c'") != std::string::npos;
    const bool other_service = std::string(edit).find("service = 't'") != std::string::npos;
    const Selector touched = moved ? ForUser("c") : ForUser("a", other_service ? "t" : "s");
    if (f.answer_cache_bytes > 0) {
      // What the daemon knows is not changed by the edit, and the row is looked at again when anything is.
      CHECK(f.store->Deliver(f.Val1(), ForUser("a")).value().keys.at(0).version.kid == kid);
      REQUIRE(f.store->AddService(f.admin, f.ServiceNamed("u")).has_value());
    }
    const auto refused = f.store->Deliver(f.Val1(), touched);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == ErrorCode::kIntegrity);
    CHECK(refused.error().detail.find("key ") != std::string::npos);
    CHECK(f.Text("SELECT outcome || ' ' || reason FROM audit ORDER BY seq DESC LIMIT 1") ==
          "refused integrity");
    CHECK(f.store->Deliver(f.Val1(), ForUser("b")).has_value());
  }
}

TEST_CASE("a former version cannot be revived, also not by removing the newer one") {
  StoreFixture f;
  REQUIRE(f.store->Rotate(f.admin, ForService()).has_value());
  REQUIRE(f.store->Rotate(f.admin, ForService()).has_value());
  f.Tamper("DELETE FROM key_versions WHERE version = 2");
  const auto left = f.store->Deliver(f.Val1(), ForService());
  REQUIRE(left.has_value());
  REQUIRE(left.value().keys.size() == 1);
  CHECK(left.value().keys[0].version.state ==
        KeyState::kDeactivated);  // not active again, for processing only
  f.Tamper("UPDATE key_versions SET state = 'active', deactivated = NULL WHERE version = 1");
  CHECK(f.store->Deliver(f.Val1(), ForService()).error().code == ErrorCode::kIntegrity);
}

TEST_CASE("a policy, principal, recipient or issuer changed by hand stops the next start and is named") {
  const std::pair<const char*, const char*> edits[] = {
      {"UPDATE services SET readers = 'val-1,val-2'", "service 's'"},
      {"UPDATE services SET delivery = 'tls'", "service 's'"},
      {"UPDATE services SET id = 't'", "service 't'"},
      {"UPDATE services SET home = 'https://evil'", "service 's'"},
      {"UPDATE principals SET client_id = 'val-2' WHERE id = 'val-1'", "principal 'val-1'"},
      {"UPDATE principals SET certificate_spki = 'AAAA' WHERE id = 'val-1'", "principal 'val-1'"},
      {"UPDATE recipients SET public_key = (SELECT certificate_spki FROM principals WHERE id = 'val-2')",
       "recipient 'r'"},
      {"UPDATE recipients SET principal = 'val-2'", "recipient 'r'"},
      {"UPDATE issuers SET jwks = '{}'", "issuer 'i'"},
      {"UPDATE services SET scopes = 'nothing'", "service 's'"},
  };
  for (const auto& [statement, row] : edits) {
    const std::string edit = statement;
    CAPTURE(edit);
    StoreFixture f;
    Must(f.store->AddRecipient(f.admin,
                               {RecipientId("r"), PrincipalId("val-1"), hsm::RsaRecipient{f.client.spki}}));
    Must(f.store->AddIssuer(f.admin, {IssuerId("i"), "https://i", "skms", "{\"keys\":[]}"}));
    f.Close();
    f.Tamper(edit);
    const auto refused = KeyStore::Open(f.options(), *f.module, f.clock);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == ErrorCode::kIntegrity);
    CHECK(refused.error().detail.find(row) != std::string::npos);
  }
}

TEST_CASE("nobody with the database sends a moved service's UEs elsewhere") {
  for (const char* edit : {"UPDATE services SET home_ue = 'https://evil'", "UPDATE services SET home_ue = ''",
                           "UPDATE services SET home = home_ue"}) {
    CAPTURE(edit);
    StoreFixture f;
    Service service = f.ServiceNamed("s");
    service.access.home = "https://h";
    service.access.home_ue = "https://h:8444";
    Must(f.store->SetService(f.admin, service));
    f.Close();
    f.Tamper(edit);
    const auto refused = KeyStore::Open(f.options(), *f.module, f.clock);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == ErrorCode::kIntegrity);
  }
}

TEST_CASE("a database of another token is refused") {
  StoreFixture f;
  SKMS_OF_SQLITE(f);
  f.Close();
  const std::string path = f.token.directory() + "/kept.db";
  std::filesystem::copy_file(f.options().path, path);
  f.module.reset();
  skms::test::SoftToken other;
  other.KeepKeysOfItsOwn();
  const auto module = other.Provision();
  const auto refused = KeyStore::Open({path}, *module, f.clock);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::kIntegrity);
}

TEST_CASE("the audit chain shows an entry that was changed, dropped, put in or moved") {
  const char* edits[] = {
      "UPDATE audit SET outcome = 'granted' WHERE seq = 4",
      "UPDATE audit SET actor = 'val-2' WHERE seq = 4",
      "UPDATE audit SET time_ms = time_ms + 1 WHERE seq = 4",
      "DELETE FROM audit WHERE seq = 4",
      "DELETE FROM audit WHERE seq = 1",
      "UPDATE audit SET seq = -1 WHERE seq = 6",
      "UPDATE audit SET seq = CASE seq WHEN 3 THEN -4 WHEN 4 THEN -3 END WHERE seq IN (3, 4);",
      kPutInAudit,
  };
  for (const char* edit : edits) {
    CAPTURE(edit);
    StoreFixture f;
    for (int i = 0; i < 3; ++i) {
      REQUIRE(f.store->Deliver(f.Val1(), ForService("nowhere")).error().code == ErrorCode::kNotFound);
    }
    const auto whole = f.store->VerifyAudit();
    REQUIRE(whole.has_value());
    CHECK(whole.value().last == 6);
    CHECK(whole.value().head == f.store->Audit().value().head);
    f.Tamper(edit);
    const auto broken = f.store->VerifyAudit();
    REQUIRE(broken.has_error());
    CHECK(broken.error().code == ErrorCode::kIntegrity);
  }
}

}  // namespace
}  // namespace skms::keystore
