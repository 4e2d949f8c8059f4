#include "api/admin/entry_json.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace skms {

using admin::InvalidParams;
using nlohmann::json;

namespace {

bool Names(const InvalidParams& invalid, const std::string& param) {
  return std::any_of(invalid.begin(), invalid.end(), [&](const auto& one) { return one.param == param; });
}

}  // namespace

TEST_CASE("A service needs only its id; the rest has the defaults of the directory") {
  InvalidParams invalid;
  const auto service = admin::ServiceFromJson({{"id", "s"}}, invalid);
  REQUIRE(service.has_value());
  CHECK(service.value().id.value() == "s");
  CHECK(service.value().profile == "aes-256");
  CHECK(service.value().scopes == std::vector{keystore::TargetKind::kService});
  CHECK(service.value().generate_on_request);
  CHECK(service.value().delivery == keystore::Delivery::kWrapped);
  CHECK(service.value().readers.empty());
}

TEST_CASE("A service comes back from its own JSON unchanged") {
  InvalidParams invalid;
  const json body{{"id", "s"},
                  {"profile", "ec-p256"},
                  {"scopes", {"user", "ue"}},
                  {"delivery", "tls"},
                  {"readers", {"a", "b"}},
                  {"generateOnRequest", false},
                  {"userUri", "sip:s@x"},
                  {"home", "https://h"},
                  {"homeUe", "https://h:1"}};
  const auto service = admin::ServiceFromJson(body, invalid);
  REQUIRE(service.has_value());
  json shown = admin::ToJson(service.value());
  for (const auto& [member, value] : body.items()) CHECK(shown[member] == value);
  CHECK(shown["join"] == "from-current");
  CHECK(shown["cryptoPeriod"] == 0);
}

TEST_CASE("Every wrong member of a service is named at once") {
  InvalidParams invalid;
  const json body{{"profile", "aes-512"}, {"scopes", {"user", "planet"}}, {"delivery", 5},
                  {"readers", {"a", 1}},  {"generateOnRequest", "yes"},   {"userUri", json::object()},
                  {"delivrey", "tls"}};
  const auto service = admin::ServiceFromJson(body, invalid);
  REQUIRE(service.has_error());
  CHECK(service.error().code == ErrorCode::kInvalidArgument);
  for (const char* param : {"/id", "/profile", "/scopes", "/delivery", "/readers", "/generateOnRequest",
                            "/userUri", "/delivrey"}) {
    CAPTURE(param);
    CHECK(Names(invalid, param));
  }
  CHECK(invalid.size() == 8);
}

TEST_CASE("A misspelt policy is refused, not taken for its default") {
  InvalidParams invalid;
  CHECK(admin::ServiceFromJson({{"id", "s"}, {"Delivery", "wrapped"}}, invalid).has_error());
  CHECK(Names(invalid, "/Delivery"));
}

TEST_CASE("A body that is no object is refused by every decoder") {
  for (const json& body : {json::array(), json("text"), json(5), json(nullptr), json(true)}) {
    InvalidParams invalid;
    CHECK(admin::ServiceFromJson(body, invalid).has_error());
    CHECK(admin::PrincipalFromJson(body, invalid).has_error());
    CHECK(admin::RecipientFromJson(body, invalid).has_error());
    CHECK(admin::IssuerFromJson(body, invalid).has_error());
    CHECK(admin::RotationOrderFromJson(body, invalid).has_error());
  }
}

TEST_CASE("A certificate that is none, or has octets behind it, is refused by name") {
  for (const char* text : {"", "AAAA", "not base64url!", "MAA"}) {
    CAPTURE(text);
    InvalidParams invalid;
    CHECK(admin::PrincipalFromJson({{"id", "p"}, {"certificate", text}}, invalid).has_error());
    CHECK(Names(invalid, "/certificate"));
  }
  InvalidParams invalid;
  CHECK(admin::PrincipalFromJson({{"id", "p"}}, invalid).has_error());
  CHECK(Names(invalid, "/certificate"));
}

TEST_CASE("A recipient is exactly one of a public key and a transport key") {
  InvalidParams invalid;
  CHECK(admin::RecipientFromJson({{"id", "r"}, {"principal", "p"}}, invalid).has_error());
  CHECK(admin::RecipientFromJson(
            {{"id", "r"}, {"principal", "p"}, {"publicKey", "AAAA"}, {"transportKey", "AAAA"}}, invalid)
            .has_error());
  CHECK(admin::RecipientFromJson({{"id", "r"}, {"principal", "p"}, {"publicKey", ""}}, invalid).has_error());
  CHECK(Names(invalid, "/publicKey"));
  InvalidParams none;
  const auto good =
      admin::RecipientFromJson({{"id", "r"}, {"principal", "p"}, {"transportKey", "AAAA"}}, none);
  REQUIRE(good.has_value());
  CHECK(good.value().transport_key.size() == 3);
  CHECK(good.value().public_key.empty());
}

TEST_CASE("An issuer's key set is an object with usable public keys") {
  for (const json& jwks : {json("text"), json::array(), json{{"keys", json::array()}}, json::object()}) {
    InvalidParams invalid;
    CHECK(admin::IssuerFromJson({{"id", "i"}, {"issuer", "u"}, {"audience", "a"}, {"jwks", jwks}}, invalid)
              .has_error());
    CHECK(Names(invalid, "/jwks"));
  }
}

TEST_CASE("A selector is a service, or one user or one UE of it, never both") {
  InvalidParams invalid;
  CHECK(admin::RotationOrderFromJson({{"service", "s"}}, invalid).value().selector.kind ==
        keystore::TargetKind::kService);
  CHECK(admin::RotationOrderFromJson({{"service", "s"}, {"userId", "u"}}, invalid).value().selector.target ==
        "u");
  CHECK(admin::RotationOrderFromJson({{"service", "s"}, {"ueId", "d"}}, invalid).value().selector.kind ==
        keystore::TargetKind::kUe);
  CHECK_FALSE(admin::RotationOrderFromJson({{"service", "s"}}, invalid).value().dry_run);
  CHECK(admin::RotationOrderFromJson({{"service", "s"}, {"dryRun", true}}, invalid).value().dry_run);
  CHECK(invalid.empty());
  CHECK(admin::RotationOrderFromJson({{"service", "s"}, {"dryRun", "yes"}}, invalid).has_error());
  CHECK(
      admin::RotationOrderFromJson({{"service", "s"}, {"userId", "u"}, {"ueId", "d"}}, invalid).has_error());
  CHECK(admin::RotationOrderFromJson({{"service", "s"}, {"userId", ""}}, invalid).has_error());
  CHECK(admin::RotationOrderFromJson({{"service", "s"}, {"userId", "a\nb"}}, invalid).has_error());
  CHECK(admin::RotationOrderFromJson({{"userId", "u"}}, invalid).has_error());
}

TEST_CASE("A key query knows three filters, each at most once, and a bounded page") {
  InvalidParams invalid;
  const auto query = admin::KeyQueryFromText("service=a%2fb&limit=1000&after=k", invalid);
  REQUIRE(query.has_value());
  CHECK(query.value().service->value() == "a/b");
  CHECK(query.value().limit == 1000);
  CHECK(query.value().after_kid == "k");
  for (const char* text :
       {"limit=0", "limit=1001", "limit=-1", "limit=", "limit=1x", "limit=99999999999999999999",
        "limit=1&limit=2", "service=a&service=b", "colour=red", "service=%zz"}) {
    CAPTURE(text);
    InvalidParams wrong;
    CHECK(admin::KeyQueryFromText(text, wrong).has_error());
    CHECK(wrong.size() == 1);
  }
}

}  // namespace skms
