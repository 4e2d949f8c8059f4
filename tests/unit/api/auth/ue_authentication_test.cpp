// Access tokens by the profile of their issuer: what UEs and provisioning VAL servers get out of them.
#include "tests/unit/api/auth/auth_fixture.h"

namespace skms::auth {
namespace {

using namespace auth_fixture;  // NOLINT(google-build-using-namespace): the fixture is this test's

struct UeFixture : Fixture {
  UeFixture() {
    directory.issuers[0].profile = {"services", "user", "ue", "vc", "SKeyProv", {"true", "list"}};
  }
  json UeClaims() const {
    json claims = Claims();
    claims["scope"] = "openid skm";
    claims["services"] = {"s", "t"};
    claims["user"] = "alice";
    claims["ue"] = "ue-1";
    return claims;
  }
  std::string UeReason(const json& claims, EVP_PKEY* certificate_key = nullptr) {
    const auto answer = AskAsUe(Token(claims), certificate_key);
    return std::holds_alternative<AuthenticatedUe>(answer) ? "accepted" : std::get<Refusal>(answer).reason;
  }
  std::string UeReasonWith(const char* claim, const json& value) {
    json claims = UeClaims();
    claims[claim] = value;
    return UeReason(claims);
  }
  ProvisioningGrant Granted(const json& value) {
    json claims = Claims();
    claims["SKeyProv"] = value;
    const auto answer = Ask(Token(claims), client.get());
    REQUIRE(std::holds_alternative<AuthenticatedPrincipal>(answer));
    return std::get<AuthenticatedPrincipal>(answer).provisioning;
  }
};

TEST_CASE("a UE is who its token says, by the names of the token's issuer") {
  UeFixture f;
  const auto answer = f.AskAsUe(f.Token(f.UeClaims()));
  REQUIRE(std::holds_alternative<AuthenticatedUe>(answer));
  const auto& ue = std::get<AuthenticatedUe>(answer);
  CHECK(ue.issuer == "sim-s");
  CHECK(ue.services == std::vector<std::string>{"s", "t"});
  CHECK(ue.user == "alice");
  CHECK(ue.ue == "ue-1");
  CHECK(ue.client.empty());
  CHECK(ue.certificate_public_key.empty());
  CHECK(f.UeReasonWith("services", "s t") == "accepted");
}

TEST_CASE("a claim in another form than it should be is no claim") {
  UeFixture f;
  for (const json& value : {json(1), json{"s", 1}, json{{"s", true}}, json(nullptr)}) {
    CAPTURE(value.dump());
    CHECK(f.UeReasonWith("services", value) == "token-claims");
  }
  for (const json& value : {json(1), json(""), json{"alice"}, json(nullptr)}) {
    CAPTURE(value.dump());
    CHECK(f.UeReasonWith("user", value) == "token-claims");
    CHECK(f.UeReasonWith("ue", value) == "token-claims");
  }
  CHECK(f.UeReasonWith("services", json::array()) == "token-services");
  json without = f.UeClaims();
  without.erase("services");
  CHECK(f.UeReason(without) == "token-services");
  CHECK(f.UeReasonWith("scope", "openid ss-kir") == "token-scope");
}

TEST_CASE("an issuer without a profile vouches for no UE") {
  UeFixture f;
  f.directory.issuers[0].profile = {};
  CHECK(f.UeReason(f.UeClaims()) == "token-services");
  f.directory.issuers[0].profile.services_claim = "services";
  ++f.directory.version;
  const auto answer = f.AskAsUe(f.Token(f.UeClaims()));
  REQUIRE(std::holds_alternative<AuthenticatedUe>(answer));
  CHECK(std::get<AuthenticatedUe>(answer).user.empty());
}

TEST_CASE("a token that is bound to a certificate needs it, one bound to a key carries its thumbprint") {
  UeFixture f;
  json claims = f.UeClaims();
  claims["cnf"] = {{"x5t#S256", ToBase64Url(Sha256(CertificateFor(f.client.get())))}};
  CHECK(f.UeReason(claims) == "token-bound-to-another-certificate");
  CHECK(f.UeReason(claims, f.other.get()) == "token-bound-to-another-certificate");
  CHECK(f.UeReason(claims, f.client.get()) == "accepted");

  claims["cnf"] = {{"jkt", "thumb"}};
  const auto answer = f.AskAsUe(f.Token(claims));
  REQUIRE(std::holds_alternative<AuthenticatedUe>(answer));
  CHECK(std::get<AuthenticatedUe>(answer).key_thumbprint == "thumb");
  for (const json& binding : {json{{"kid", "k"}}, json::object(), json("jkt"), json{{"jkt", ""}},
                              json{{"jkt", 1}}, json{{"jkt", "t"}, {"x5t#S256", 1}}}) {
    CAPTURE(binding.dump());
    CHECK(f.UeReasonWith("cnf", binding) == "token-claims");
  }
  // On the interfaces of mutual TLS nothing proves possession of that key.
  CHECK(f.ReasonWith("cnf", {{"jkt", "thumb"}}) == "token-bound-to-a-key");
}

TEST_CASE("SKeyProv counts in the forms that the issuer's profile names") {
  UeFixture f;
  CHECK(f.Granted(true).all);
  CHECK(f.Granted(json{"s", "t"}).services == std::vector<std::string>{"s", "t"});
  for (const json& value :
       {json(false), json("s"), json(1), json(nullptr), json{"s", 1}, json{{"s", true}}}) {
    CAPTURE(value.dump());
    const ProvisioningGrant grant = f.Granted(value);
    CHECK_FALSE(grant.all);
    CHECK(grant.services.empty());
  }
  f.directory.issuers[0].profile.provisioning_values = {"string"};
  ++f.directory.version;
  CHECK(f.Granted("s t").services == std::vector<std::string>{"s", "t"});
  CHECK_FALSE(f.Granted(true).all);
}

TEST_CASE("a key that nobody has makes the directory look for newer ones, once, at who the token names") {
  UeFixture f;
  const PkeyPtr next = Rsa();
  const std::string token =
      Fixture::Token({{"alg", "RS256"}, {"kid", "next"}}, f.Claims().dump(), next.get());
  CHECK(f.Reason(token) == "token-key-unknown");
  CHECK(f.directory.asked == std::vector<std::string>{"sim-s"});
  f.directory.newer_keys = json{{"keys", {RsaJwk(next.get(), "next")}}}.dump();
  CHECK(f.Reason(token) == "accepted");
  CHECK(f.Reason(token) == "accepted");
  CHECK(f.directory.asked.size() == 2);
  // A key that is known and does not fit is no reason to look.
  CHECK(f.Reason(Fixture::Token({{"alg", "RS256"}, {"kid", "next"}}, f.Claims().dump(), f.rsa.get())) ==
        "token-signature");
  CHECK(f.directory.asked.size() == 2);
}

TEST_CASE("no issuer's keys stand in the way of another's") {
  UeFixture f;
  // 'a' comes first, publishes a copy of sim-s's key, and twenty of its kid.
  json copies = json::array({RsaJwk(f.rsa.get(), "r")});
  for (int i = 0; i < 20; ++i) copies.push_back(RsaJwk(f.second.get(), "r"));
  f.directory.issuers.insert(f.directory.issuers.begin(),
                             {"a", "https://a", "skms", json{{"keys", copies}}.dump()});
  CHECK(f.Reason(f.Token(f.Claims())) == "accepted");
  CHECK(f.ReasonWith("iss", "https://a") == "accepted");
  CHECK(f.ReasonWith("iss", "https://second") == "token-issuer");
  // One provider for two audiences.
  DirectoryIssuer twice = f.directory.issuers[1];
  twice.id = "twice";
  twice.audience = "other";
  f.directory.issuers.insert(f.directory.issuers.begin(), twice);
  ++f.directory.version;
  CHECK(f.Reason(f.Token(f.Claims())) == "accepted");
  CHECK(f.ReasonWith("aud", "other") == "accepted");
  CHECK(f.ReasonWith("aud", "third") == "token-audience");
}

TEST_CASE("kid, jku, x5u and jwk lead nowhere but to the keys that are trusted") {
  UeFixture f;
  const PkeyPtr own = Rsa();
  for (const char* kid : {"../../etc/passwd", "r/../r", "' OR 1=1 --", "https://evil/jwks", ""}) {
    CAPTURE(kid);
    CHECK(f.Reason(Fixture::Token({{"alg", "RS256"}, {"kid", kid}}, f.Claims().dump(), f.rsa.get())) ==
          "token-key-unknown");
  }
  const json jwk = RsaJwk(own.get(), "r");
  for (const json& header : {json{{"alg", "RS256"}, {"kid", "r"}, {"jku", "https://evil/jwks"}},
                             json{{"alg", "RS256"}, {"kid", "r"}, {"x5u", "https://evil/x5u"}},
                             json{{"alg", "RS256"}, {"kid", "r"}, {"jwk", jwk}}}) {
    CAPTURE(header.dump());
    CHECK(f.Reason(Fixture::Token(header, f.Claims().dump(), own.get())) == "token-signature");
    CHECK(f.Reason(Fixture::Token(header, f.Claims().dump(), f.rsa.get())) == "accepted");
  }
}

std::variant<AuthenticatedUe, Refusal> AskAsserting(UeFixture& f, http::TransportKind transport,
                                                    const std::vector<std::string>& asserted,
                                                    const std::string& token = {}) {
  http::Request request;
  if (!token.empty()) request.headers.Add("Authorization", "Bearer " + token);
  for (const std::string& value : asserted) request.headers.Add("X-3GPP-Asserted-Identity", value);
  http::RequestContext context;
  context.transport = transport;
  return f.authenticator.AuthenticateUe(request, context, "skm");
}

TEST_CASE("a trusted proxy asserts a user, and nobody else does") {
  UeFixture f;
  using http::TransportKind;
  for (const char* value : {"sip:alice@val", "\"sip:alice@val\""}) {
    CAPTURE(value);
    const auto answer = AskAsserting(f, TransportKind::kAssertingProxy, {value});
    REQUIRE(std::holds_alternative<AuthenticatedUe>(answer));
    const auto& ue = std::get<AuthenticatedUe>(answer);
    CHECK(ue.user == "sip:alice@val");
    CHECK(ue.issuer.empty());
    CHECK_FALSE(ue.services.has_value());
    CHECK(ue.ue.empty());
    for (const auto transport :
         {TransportKind::kDirectTls, TransportKind::kInMemory, TransportKind::kAdmin}) {
      const auto refused = AskAsserting(f, transport, {value}, f.Token(f.UeClaims()));
      REQUIRE(std::holds_alternative<Refusal>(refused));
      CHECK(std::get<Refusal>(refused).problem.status == 403);
    }
  }
  for (const std::vector<std::string>& several : {std::vector<std::string>{"sip:a@b", "sip:c@d"},
                                                  {"sip:a@b, sip:c@d"},
                                                  {"\"sip:a@b\", \"sip:c@d\""},
                                                  {""},
                                                  {"\"\""},
                                                  {"alice"},
                                                  {"\"sip:a@b"}}) {
    CAPTURE(several.front());
    const auto refused = AskAsserting(f, TransportKind::kAssertingProxy, several);
    REQUIRE(std::holds_alternative<Refusal>(refused));
    CHECK(std::get<Refusal>(refused).problem.status == 403);
  }
}

TEST_CASE("a token counts before what a proxy asserts, a bad one too") {
  UeFixture f;
  const auto both =
      AskAsserting(f, http::TransportKind::kAssertingProxy, {"sip:bob@val"}, f.Token(f.UeClaims()));
  REQUIRE(std::holds_alternative<AuthenticatedUe>(both));
  CHECK(std::get<AuthenticatedUe>(both).user == "alice");
  CHECK(std::get<AuthenticatedUe>(both).issuer == "sim-s");
  const auto bad = AskAsserting(f, http::TransportKind::kAssertingProxy, {"sip:bob@val"}, "nonsense");
  CHECK(std::get<Refusal>(bad).problem.status == 401);
  const auto neither = AskAsserting(f, http::TransportKind::kAssertingProxy, {});
  CHECK(std::get<Refusal>(neither).problem.status == 401);
}

TEST_CASE("an asserted user has a rate of his own") {
  UeFixture f;
  Authenticator limited(f.directory, f.clock, {30, 1, 3, 1e6, 1e6});
  http::RequestContext context;
  context.transport = http::TransportKind::kAssertingProxy;
  const auto status = [&](const char* user) {
    http::Request request;
    request.headers.Add("X-3GPP-Asserted-Identity", user);
    const auto answer = limited.AuthenticateUe(request, context, "skm");
    return std::holds_alternative<Refusal>(answer) ? std::get<Refusal>(answer).problem.status : 200;
  };
  for (int i = 0; i < 3; ++i) CHECK(status("sip:a@b") == 200);
  CHECK(status("sip:a@b") == 429);
  CHECK(status("sip:c@d") == 200);
}

TEST_CASE("UEs without a usable token share a rate, and those with one are not touched by it") {
  UeFixture f;
  Authenticator limited(f.directory, f.clock, {30, 1e6, 1e6, 1, 3});
  http::Request none;
  const http::RequestContext context;
  const auto status = [&](const http::Request& request) {
    const auto answer = limited.AuthenticateUe(request, context, "skm");
    return std::holds_alternative<Refusal>(answer) ? std::get<Refusal>(answer).problem.status : 200;
  };
  for (int i = 0; i < 3; ++i) CHECK(status(none) == 401);
  CHECK(status(none) == 429);
  http::Request good;
  good.headers.Add("Authorization", "Bearer " + f.Token(f.UeClaims()));
  CHECK(status(good) == 200);
}

}  // namespace
}  // namespace skms::auth
