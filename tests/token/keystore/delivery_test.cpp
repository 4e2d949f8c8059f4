// What Deliver and Rotate decide, and what they write down.
#include <doctest/doctest.h>

#include <set>
#include <thread>

#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

TEST_CASE("the first request makes the key, later ones and a restart give the same") {
  StoreFixture f;
  const auto first = f.store->Deliver(f.Val1(), ForService());
  REQUIRE(first.has_value());
  const DeliveredVersion& key = first.value().keys.at(0);
  CHECK(key.version.version == 1);
  CHECK(key.version.state == KeyState::kActive);
  CHECK(key.version.kid.value().size() == 22);
  CHECK(key.version.wrapped.bytes.empty());
  CHECK(key.recipient.rfind("spki-sha256:", 0) == 0);
  f.Reopen();
  const auto again = f.store->Deliver(f.Val1(), ForService());
  REQUIRE(again.has_value());
  CHECK(again.value().keys.at(0).version.kid == key.version.kid);
  CHECK(ConstantTimeEqual(Opened(f.client, key).ExposeSecret(),
                          Opened(f.client, again.value().keys.at(0)).ExposeSecret()));
}

TEST_CASE("service, user and UE have keys of their own, and none stands in for another") {
  StoreFixture f;
  std::set<std::string> kids;
  for (const Selector& selector : {ForService(), ForUser("a"), ForUser("b"), ForUe("a")}) {
    kids.insert(f.store->Deliver(f.Val1(), selector).value().keys.at(0).version.kid.value());
  }
  CHECK(kids.size() == 4);

  Service closed = f.ServiceNamed("closed");
  closed.generate_on_request = false;
  REQUIRE(f.store->AddService(f.admin, closed).has_value());
  REQUIRE(f.store->Rotate(f.admin, ForService("closed")).has_value());
  CHECK(f.store->Deliver(f.Val1(), ForService("closed")).has_value());
  CHECK(f.store->Deliver(f.Val1(), ForUser("a", "closed")).error().code == ErrorCode::kNotFound);
}

TEST_CASE("an unknown service and another's service look alike, and the chain knows the difference") {
  StoreFixture f;
  const auto unknown = f.store->Deliver(f.Val1(), ForService("nowhere"));
  const auto foreign = f.store->Deliver(f.Val2(), ForService());
  REQUIRE(unknown.has_error());
  REQUIRE(foreign.has_error());
  CHECK(unknown.error().code == ErrorCode::kNotFound);
  CHECK(foreign.error().code == ErrorCode::kNotFound);
  CHECK(unknown.error().detail == foreign.error().detail);
  CHECK(f.Number("SELECT count(*) FROM key_versions") == 0);
  CHECK(f.Text("SELECT reason FROM audit WHERE outcome = 'refused' ORDER BY seq LIMIT 1") ==
        "service-unknown");
  CHECK(f.Text("SELECT reason FROM audit WHERE outcome = 'refused' ORDER BY seq DESC LIMIT 1") ==
        "not-a-reader");
}

TEST_CASE("a scope the service does not have is refused") {
  StoreFixture f;
  Service narrow = f.ServiceNamed("narrow");
  narrow.scopes = {TargetKind::kUser};
  REQUIRE(f.store->AddService(f.admin, narrow).has_value());
  CHECK(f.store->Deliver(f.Val1(), ForService("narrow")).error().code == ErrorCode::kPermissionDenied);
  CHECK(f.store->Rotate(f.admin, ForService("narrow")).error().code == ErrorCode::kPermissionDenied);
}

TEST_CASE("a reader without an RSA key or recipient is told to enrol one") {
  StoreFixture f;
  Requester ec = f.Val1();
  ec.certificate_spki = Must(hsm::PublicSpki(hsm::PkeyPtr(EVP_EC_gen("P-256")).get()));
  const auto refused = f.store->Deliver(ec, ForService());
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::kRecipientUnusable);
  CHECK(refused.error().detail.find("no ECDH with the X9.63 KDF on P-256") != std::string::npos);
  CHECK(refused.error().detail.find("skmsctl recipient add") != std::string::npos);
  CHECK(f.Text("SELECT reason FROM audit ORDER BY seq DESC LIMIT 1") == "recipient-unusable");

  ec.certificate_spki = Must(hsm::PublicSpki(hsm::PkeyPtr(EVP_EC_gen("secp256k1")).get()));
  CHECK(f.store->Deliver(ec, ForService()).error().code == ErrorCode::kRecipientUnusable);

  const Client enrolled;
  REQUIRE(
      f.store
          ->AddRecipient(f.admin, {RecipientId("r"), PrincipalId("val-1"), hsm::RsaRecipient{enrolled.spki}})
          .has_value());
  const auto delivered = f.store->Deliver(ec, ForService());
  REQUIRE(delivered.has_value());
  CHECK(delivered.value().keys.at(0).recipient == "r");
  CHECK(Opened(enrolled, delivered.value().keys.at(0)).size() == 32);
}

TEST_CASE("delivery: tls hands out the very key that the wrapped form holds") {
  StoreFixture f;
  const SecretBytes wrapped = Opened(f.client, f.store->Deliver(f.Val1(), ForService()).value().keys.at(0));
  Service open = f.ServiceNamed("s");
  open.delivery = Delivery::kTls;
  REQUIRE(f.store->SetService(f.admin, open).has_value());
  const auto plain = f.store->Deliver(f.Val1(), ForService());
  REQUIRE(plain.has_value());
  CHECK_FALSE(plain.value().keys.at(0).wrapped.has_value());
  CHECK(ConstantTimeEqual(plain.value().keys.at(0).plaintext->ExposeSecret(), wrapped.ExposeSecret()));
  CHECK(f.Text("SELECT reason FROM audit ORDER BY seq DESC LIMIT 1") == "delivery=tls state=active");
}

TEST_CASE("every profile is generated, stored and delivered") {
  StoreFixture f;
  for (const KeyProfile& profile : KeyProfiles()) {
    CAPTURE(profile.name);
    Service service = f.ServiceNamed(std::string(profile.name));
    service.profile = profile.name;
    REQUIRE(f.store->AddService(f.admin, service).has_value());
    const auto delivered = f.store->Deliver(f.Val1(), ForService(std::string(profile.name)));
    REQUIRE(delivered.has_value());
    CHECK(delivered.value().keys.at(0).version.public_key.empty() == (profile.kty != "EC"));
  }
}

TEST_CASE("a first key is wrapped to who asks for it while the token makes it") {
  StoreFixture f;
  Must(f.store->Deliver(f.Val1(), ForService()));  // with the recipient's public key, which stays
  const std::uint64_t before = f.module->session_use().calls;
  const DeliveryAnswer first = Must(f.store->Deliver(f.Val1(), ForUser("a")));
  // The kid, the key, its two forms, its end, and the row's MAC: no C_UnwrapKey, and what goes with it.
  CHECK(f.module->session_use().calls - before == 7);
  const DeliveryAnswer again = Must(f.store->Deliver(f.Val1(), ForUser("a")));
  CHECK(ConstantTimeEqual(Opened(f.client, first.keys.at(0)).ExposeSecret(),
                          Opened(f.client, again.keys.at(0)).ExposeSecret()));
  CHECK(f.Text("SELECT action FROM audit ORDER BY seq DESC LIMIT 1 OFFSET 2") == "create");
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'deliver' AND outcome = 'granted'") == 3);
}

TEST_CASE("of two who ask for a first key at once, each gets it wrapped to himself") {
  StoreFixture f;
  Service shared = f.ServiceNamed("s");
  shared.readers.emplace_back("val-2");
  Must(f.store->SetService(f.admin, shared));
  for (int i = 0; i < 8; ++i) {
    const Selector selector = ForUser("user-" + std::to_string(i));
    std::optional<Result<DeliveryAnswer>> other;
    std::thread second([&] { other = f.store->Deliver(f.Val2(), selector); });
    const auto first = f.store->Deliver(f.Val1(), selector);
    second.join();
    REQUIRE(first.has_value());
    REQUIRE(other->has_value());
    CHECK(ConstantTimeEqual(Opened(f.client, first.value().keys.at(0)).ExposeSecret(),
                            Opened(f.stranger, other->value().keys.at(0)).ExposeSecret()));
  }
}

TEST_CASE("sixteen first requests at once make one key") {
  StoreFixture f;
  std::mutex mutex;
  std::set<std::string> kids;
  int failures = 0;
  std::vector<std::thread> threads;
  threads.reserve(16);
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      const auto delivered = f.store->Deliver(f.Val1(), ForUser("new"));
      const std::lock_guard lock(mutex);
      if (delivered.has_value()) {
        kids.insert(delivered.value().keys.at(0).version.kid.value());
      } else {
        ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(kids.size() == 1);
  CHECK(f.Number("SELECT count(*) FROM key_versions") == 1);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'create'") == 1);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'deliver' AND outcome = 'granted'") == 16);
  CHECK(f.store->VerifyAudit().has_value());
}

TEST_CASE("rotation makes the next version and deactivates the former in one step") {
  StoreFixture f;
  const auto first = f.store->Rotate(f.admin, ForService());
  REQUIRE(first.has_value());
  CHECK(first.value().version == 1);
  f.clock.Advance(std::chrono::seconds(10));
  const auto second = f.store->Rotate(f.admin, ForService());
  REQUIRE(second.has_value());
  CHECK(second.value().version == 2);
  CHECK(second.value().kid != first.value().kid);
  CHECK(f.store->Deliver(f.Val1(), ForService()).value().keys.at(0).version.kid == second.value().kid);
  const auto former = f.store->ShowKey(first.value().kid);
  REQUIRE(former.has_value());
  CHECK(former.value().state == KeyState::kDeactivated);
  CHECK(former.value().deactivated == second.value().not_before);
  CHECK(f.store->Rotate(f.admin, ForService("nowhere")).error().code == ErrorCode::kNotFound);
}

TEST_CASE("the list pages through every key once, in order, of one service or of all") {
  StoreFixture f;
  REQUIRE(f.store->AddService(f.admin, f.ServiceNamed("t")).has_value());
  for (int i = 0; i < 7; ++i) REQUIRE(f.store->Rotate(f.admin, ForUser("u" + std::to_string(i))).has_value());
  REQUIRE(f.store->Rotate(f.admin, ForUser("u3")).has_value());
  REQUIRE(f.store->Rotate(f.admin, ForService("t")).has_value());
  std::set<std::string> seen;
  KeyListQuery query;
  query.limit = 3;
  for (;;) {
    const auto page = f.store->ListKeys(query);
    REQUIRE(page.has_value());
    for (const KeyVersion& version : page.value()) CHECK(seen.insert(version.kid.value()).second);
    if (page.value().size() < 3) break;
    query.after_kid = page.value().back().kid.value();
  }
  CHECK(seen.size() == 9);
  query = {};
  query.service = ValServiceId("t");
  CHECK(f.store->ListKeys(query).value().size() == 1);
  query.limit = 0;
  CHECK(f.store->ListKeys(query).error().code == ErrorCode::kInvalidArgument);
  CHECK(f.store->CountKeyVersions().value() == 9);
}

TEST_CASE("no user's name stands in the audit chain, yet one user is one pseudonym") {
  StoreFixture f;
  REQUIRE(f.store->Deliver(f.Val1(), ForUser("alice@example")).has_value());
  REQUIRE(f.store->Deliver(f.Val1(), ForUser("alice@example")).has_value());
  REQUIRE(f.store->Deliver(f.Val1(), ForUser("bob@example")).has_value());
  CHECK(f.Number(
            "SELECT count(*) FROM audit WHERE actor || action || service || target_pseudonym || reason || kid"
            " LIKE '%alice%'") == 0);
  CHECK(f.Number("SELECT count(DISTINCT target_pseudonym) FROM audit WHERE action = 'deliver'") == 2);
  CHECK(f.Number("SELECT length(target_pseudonym) FROM audit ORDER BY seq DESC LIMIT 1") == 16);
}

}  // namespace
}  // namespace skms::keystore
