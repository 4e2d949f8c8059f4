// What administrators may and may not enter.
#include <doctest/doctest.h>

#include "hsm/openssl_agreement.h"
#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

TEST_CASE("entries survive a restart, field by field") {
  StoreFixture f;
  Service service = f.ServiceNamed("uav c2/\xC3\xA9");
  service.profile = "ec-p256";
  service.scopes = {TargetKind::kUe, TargetKind::kService};
  service.generate_on_request = false;
  service.delivery = Delivery::kTls;
  service.readers = {PrincipalId("val-2"), PrincipalId("val-1")};
  service.user_uri = "https://uav.example";
  service.access.home = "https://home.example";
  service.access.home_ue = "https://home.example:8444/ue";
  REQUIRE(f.store->AddService(f.admin, service).has_value());
  const hsm::WrappedKey wrapped{1, "RFC5649", {1, 2, 3}};
  REQUIRE(f.store
              ->AddRecipient(f.admin,
                             {RecipientId("t"), PrincipalId("val-2"), hsm::TransportKeyRecipient{wrapped}})
              .has_value());
  const Bytes ec = Must(hsm::PublicSpki(Must(hsm::GenerateEc(hsm::Curve::kP384)).get()));
  REQUIRE(f.store->AddRecipient(f.admin, {RecipientId("e"), PrincipalId("val-1"), hsm::EcRecipient{ec}})
              .has_value());
  REQUIRE(f.store->AddIssuer(f.admin, {IssuerId("sim-s"), "https://sim-s.example", "skms", "{\"keys\":[]}"})
              .has_value());
  f.Reopen();
  const Service read = f.store->FindService(service.id).value();
  CHECK(read.profile == "ec-p256");
  CHECK(read.scopes == service.scopes);
  CHECK_FALSE(read.generate_on_request);
  CHECK(read.delivery == Delivery::kTls);
  CHECK(read.readers == service.readers);
  CHECK(read.user_uri == "https://uav.example");
  CHECK(read.access == service.access);
  REQUIRE(f.store->Recipients().size() == 2);
  CHECK(std::get<hsm::EcRecipient>(f.store->Recipients()[0].key).spki == ec);
  CHECK(std::get<hsm::TransportKeyRecipient>(f.store->Recipients()[1].key).key.bytes == Bytes{1, 2, 3});
  CHECK(f.store->Issuers().at(0).audience == "skms");
  CHECK(f.store->Principals().size() == 2);
  CHECK(f.store->FindPrincipalBySpkiHash(Sha256(f.client.spki))->id.value() == "val-1");
  CHECK_FALSE(f.store->FindPrincipalBySpkiHash(Sha256(Bytes{1})).has_value());
}

TEST_CASE("what is there already is not added again; what is not there is not changed") {
  StoreFixture f;
  CHECK(f.store->AddService(f.admin, f.ServiceNamed("s")).error().code == ErrorCode::kAlreadyExists);
  CHECK(f.store->SetService(f.admin, f.ServiceNamed("t")).error().code == ErrorCode::kNotFound);
  CHECK(f.store->RemoveService(f.admin, ValServiceId("t")).error().code == ErrorCode::kNotFound);
  Principal again{PrincipalId("val-1"), "val-server", "x", {1}, "", 0};
  CHECK(f.store->AddPrincipal(f.admin, again).error().code == ErrorCode::kAlreadyExists);
  Principal same_key{PrincipalId("val-3"), "val-server", "x", f.client.spki, "", 0};
  CHECK(f.store->AddPrincipal(f.admin, same_key).error().detail.find("val-1") != std::string::npos);
  CHECK(f.store->RemovePrincipal(f.admin, PrincipalId("val-9")).error().code == ErrorCode::kNotFound);
  CHECK(f.store->RemoveRecipient(f.admin, RecipientId("r")).error().code == ErrorCode::kNotFound);
  CHECK(f.store->RemoveIssuer(f.admin, IssuerId("i")).error().code == ErrorCode::kNotFound);
}

TEST_CASE("a service that makes no sense is refused with what to mend") {
  StoreFixture f;
  const auto refuse = [&](auto change) {
    Service service = f.ServiceNamed("t");
    change(service);
    const auto added = f.store->AddService(f.admin, service);
    REQUIRE(added.has_error());
    CHECK(added.error().code == ErrorCode::kInvalidArgument);
    return added.error().detail;
  };
  CHECK(refuse([](Service& s) { s.profile = "des"; }).find("aes-256") != std::string::npos);
  CHECK(refuse([](Service& s) { s.scopes.clear(); }).find("scope") != std::string::npos);
  refuse([](Service& s) { s.scopes = {TargetKind::kUser, TargetKind::kUser}; });
  CHECK(refuse([](Service& s) { s.readers = {PrincipalId("ghost")}; }).find("'ghost'") != std::string::npos);
  refuse([](Service& s) { s.id = ValServiceId(""); });
  refuse([](Service& s) { s.id = ValServiceId(std::string(256, 'x')); });
  refuse([](Service& s) { s.id = ValServiceId("a\nb"); });
  refuse([](Service& s) { s.user_uri = std::string(300, 'x'); });
  for (const char* wrong : {"http://h", "https://", "https://h/", "https://h?x", "here", "https://h h"}) {
    CAPTURE(wrong);
    CHECK(refuse([&](Service& s) { s.access.home = wrong; }).find("a home is an apiRoot") == 0);
    CHECK(refuse([&](Service& s) {
            s.access.home = "https://h";
            s.access.home_ue = wrong;
          }).find("a home for UEs is an apiRoot") == 0);
  }
  CHECK(refuse([](Service& s) { s.access.home_ue = "https://h"; }).find("a home for UEs needs a home") == 0);
}

TEST_CASE("a service's homes are in the chain: where it went, and whom it sent where") {
  StoreFixture f;
  Issuer issuer{IssuerId("i"), "https://i", "skms", "{\"keys\":[]}"};
  issuer.profile.services_claim = "services";
  Must(f.store->AddIssuer(f.admin, issuer));
  Service service = f.ServiceNamed("s");
  service.access.ue_issuers = {IssuerId("i")};
  service.access.home = "https://h";
  UeRequester ue;
  ue.issuer = IssuerId("i");
  ue.services = {"s"};
  ue.user = "alice";
  const auto last = [&] { return f.Text("SELECT reason FROM audit ORDER BY seq DESC LIMIT 1"); };

  Must(f.store->SetService(f.admin, service));
  CHECK(last().find(" home=https://h ") != std::string::npos);
  CHECK(last().find("home-ue") == std::string::npos);
  Must(f.store->DeliverToUe(ue, ForUser("alice")));
  CHECK(last() == "redirected to https://h");

  service.access.home_ue = "https://h:8444";
  Must(f.store->SetService(f.admin, service));
  CHECK(last().find(" home=https://h home-ue=https://h:8444 ") != std::string::npos);
  Must(f.store->DeliverToUe(ue, ForUser("alice")));
  CHECK(last() == "redirected to https://h:8444");
  Must(f.store->Deliver(f.Val1(), ForUser("alice")));
  CHECK(last() == "redirected to https://h");
}

TEST_CASE("a proxy's users are served where the policy names the proxy, and no issuer can take its name") {
  StoreFixture f;
  Issuer issuer{IssuerId("asserted-identity"), "https://i", "skms", "{\"keys\":[]}"};
  issuer.profile.services_claim = "services";
  CHECK(f.store->AddIssuer(f.admin, issuer).error().detail.find("trusted proxy") != std::string::npos);
  UeRequester ue;
  ue.issuer = IssuerId(kAssertedIdentity);
  ue.user = "alice";
  Service service = f.ServiceNamed("s");
  service.delivery = Delivery::kTls;
  Must(f.store->SetService(f.admin, service));
  CHECK(f.store->DeliverToUe(ue, ForUser("alice")).error().code == ErrorCode::kNotFound);
  service.access.ue_issuers = {IssuerId(kAssertedIdentity)};
  Must(f.store->SetService(f.admin, service));
  CHECK(f.store->DeliverToUe(ue, ForUser("alice")).has_value());
  CHECK(f.store->DeliverToUe(ue, ForUser("bob")).error().code == ErrorCode::kPermissionDenied);
  CHECK(f.store->DeliverToUe(ue, ForService()).error().code == ErrorCode::kPermissionDenied);
}

TEST_CASE("what is in use is not removed, and the error says what to do first") {
  StoreFixture f;
  CHECK(
      f.store->RemovePrincipal(f.admin, PrincipalId("val-1")).error().detail.find("--remove-reader val-1") !=
      std::string::npos);
  REQUIRE(f.store->Deliver(f.Val1(), ForService()).has_value());
  CHECK(f.store->RemoveService(f.admin, ValServiceId("s")).error().code == ErrorCode::kConflict);
  Service other_profile = f.ServiceNamed("s");
  other_profile.profile = "aes-128";
  CHECK(f.store->SetService(f.admin, other_profile).error().code == ErrorCode::kConflict);

  const RecipientEntry recipient{RecipientId("r"), PrincipalId("val-2"), hsm::RsaRecipient{f.stranger.spki}};
  REQUIRE(f.store->AddRecipient(f.admin, recipient).has_value());
  CHECK(f.store->RemovePrincipal(f.admin, PrincipalId("val-2")).error().code == ErrorCode::kConflict);
  RecipientEntry second = recipient;
  second.id = RecipientId("r2");
  CHECK(f.store->AddRecipient(f.admin, second).error().code == ErrorCode::kAlreadyExists);
  REQUIRE(f.store->RemoveRecipient(f.admin, RecipientId("r")).has_value());
  REQUIRE(f.store->RemovePrincipal(f.admin, PrincipalId("val-2")).has_value());
}

TEST_CASE("taking a reader away takes effect at once, and every change is in the chain") {
  StoreFixture f;
  REQUIRE(f.store->Deliver(f.Val1(), ForService()).has_value());
  const std::uint64_t before = f.store->directory_version();
  Service closed = f.ServiceNamed("s");
  closed.readers.clear();
  REQUIRE(f.store->SetService(f.admin, closed).has_value());
  CHECK(f.store->directory_version() > before);
  CHECK(f.store->Deliver(f.Val1(), ForService()).error().code == ErrorCode::kNotFound);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE actor = 'admin:0' AND action = 'service.set'") == 1);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'principal.add'") == 2);
}

}  // namespace
}  // namespace skms::keystore
