// Certificate and token together: the one way in, and every way that is none.
#include "tests/unit/api/auth/auth_fixture.h"

namespace skms::auth {
namespace {

using namespace auth_fixture;  // NOLINT(google-build-using-namespace): the fixture is this test's

TEST_CASE("an enrolled certificate with its own token comes in, by RS256 and by ES256, with or without kid") {
  Fixture f;
  const auto answer = f.Ask(f.Token(f.Claims()), f.client.get());
  REQUIRE(std::holds_alternative<AuthenticatedPrincipal>(answer));
  const auto& principal = std::get<AuthenticatedPrincipal>(answer);
  CHECK(principal.id == "val-1");
  CHECK(principal.role == "val-server");
  const Sha256Digest spki = Sha256(principal.certificate_public_key);
  CHECK(Bytes(spki.begin(), spki.end()) == SpkiHash(f.client.get()));
  CHECK(f.Accepts(Fixture::Token({{"alg", "ES256"}, {"kid", "e"}}, f.Claims().dump(), f.ec.get())));
  CHECK(f.Accepts(Fixture::Token({{"alg", "ES256"}}, f.Claims().dump(), f.ec.get())));
  CHECK(f.Accepts(Fixture::Token({{"alg", "RS256"}, {"typ", "at+jwt"}}, f.Claims().dump(), f.rsa.get())));
}

TEST_CASE("times are held to thirty seconds, as whole numbers") {
  Fixture f;
  const std::int64_t now = f.clock.NowSeconds();
  CHECK(f.ReasonWith("exp", now - 29) == "accepted");
  CHECK(f.ReasonWith("exp", now - 30) == "token-expired");
  CHECK(f.ReasonWith("nbf", now + 30) == "accepted");
  CHECK(f.ReasonWith("nbf", now + 31) == "token-not-yet-valid");
  CHECK(f.ReasonWith("iat", now + 31) == "token-not-yet-valid");
  for (const json& value : {json("1900000000"), json(1.9e9), json(nullptr), json(-1), json(1000000000000),
                            json(true), json(18446744073709551615U)}) {
    CAPTURE(value.dump());
    CHECK(f.ReasonWith("exp", value) == "token-claims");
    CHECK(f.ReasonWith("nbf", value) == "token-claims");
  }
  json without = f.Claims();
  without.erase("exp");
  CHECK(f.Reason(f.Token(without)) == "token-claims");
}

TEST_CASE("issuer, audience, client and scope must be the right ones") {
  Fixture f;
  CHECK(f.ReasonWith("iss", "https://evil") == "token-issuer");
  CHECK(f.ReasonWith("iss", nullptr) == "token-issuer");
  CHECK(f.ReasonWith("aud", "other") == "token-audience");
  CHECK(f.ReasonWith("aud", json{"other", "skms"}) == "accepted");
  CHECK(f.ReasonWith("aud", json{"other", 1}) == "token-audience");
  CHECK(f.ReasonWith("aud", json::array()) == "token-audience");
  CHECK(f.ReasonWith("client_id", "client-2") == "client-id-mismatch");
  CHECK(f.ReasonWith("client_id", "") == "token-claims");
  CHECK(f.ReasonWith("client_id", 1) == "token-claims");
  CHECK(f.ReasonWith("scope", "openid") == "token-scope");
  CHECK(f.ReasonWith("scope", "ss-kirs xss-kir") == "token-scope");
  CHECK(f.ReasonWith("scope", "") == "token-scope");
  CHECK(f.ReasonWith("scope", json{"ss-kir"}) == "token-claims");
}

TEST_CASE("an issuer's key vouches for that issuer only") {
  Fixture f;
  CHECK(f.Reason(Fixture::Token({{"alg", "RS256"}, {"kid", "s"}}, f.Claims().dump(), f.second.get())) ==
        "token-issuer");
}

TEST_CASE("algorithms are by the key, never by the token's word") {
  Fixture f;
  const std::string payload = f.Claims().dump();
  const auto reason = [&](const json& header) {
    return f.Reason(Fixture::Token(header, payload, f.rsa.get()));
  };
  for (const char* alg : {"none", "None", "HS256", "RS384", "PS256", "RS512", "EdDSA", ""}) {
    CAPTURE(alg);
    CHECK(reason({{"alg", alg}, {"kid", "r"}}) == "token-algorithm");
  }
  CHECK(reason({{"kid", "r"}}) == "token-algorithm");
  CHECK(reason({{"alg", 256}}) == "token-algorithm");
  CHECK(reason({{"alg", "ES256"}, {"kid", "r"}}) == "token-key-unknown");
  CHECK(reason({{"alg", "ES256"}}) == "token-signature");
  CHECK(reason({{"alg", "RS256"}, {"kid", "e"}}) == "token-key-unknown");
}

TEST_CASE("headers that point elsewhere are not followed, and critical ones are refused") {
  Fixture f;
  const PkeyPtr evil = Rsa();
  const std::string payload = f.Claims().dump();
  const auto signed_by_evil = [&](json header) {
    header["alg"] = "RS256";
    return f.Reason(Fixture::Token(header, payload, evil.get()));
  };
  CHECK(signed_by_evil({{"jwk", RsaJwk(evil.get(), "x")}}) == "token-signature");
  CHECK(signed_by_evil({{"jku", "https://evil/jwks"}, {"kid", "r"}}) == "token-signature");
  CHECK(signed_by_evil({{"x5u", "https://evil"}, {"kid", "r"}}) == "token-signature");
  CHECK(signed_by_evil({{"kid", "../../jwks"}}) == "token-key-unknown");
  CHECK(signed_by_evil({{"kid", 7}}) == "token-key-unknown");
  CHECK(f.Reason(Fixture::Token({{"alg", "RS256"}, {"crit", {"b64"}}}, payload, f.rsa.get())) ==
        "token-malformed");
  CHECK(f.Reason(Fixture::Token({{"alg", "RS256"}, {"typ", "dpop+jwt"}}, payload, f.rsa.get())) ==
        "token-malformed");
}

TEST_CASE("what is no compact JWS is malformed, whatever it looks like") {
  Fixture f;
  const std::string good = f.Token(f.Claims());
  CHECK(f.Reason(good.substr(0, good.size() - 30)) != "accepted");
  CHECK(f.Reason(good + "=") == "token-malformed");
  CHECK(f.Reason(good + ".x") == "token-malformed");
  CHECK(f.Reason("a.b") == "token-malformed");
  CHECK(f.Reason("..") == "token-malformed");
  CHECK(f.Reason(std::string(9000, 'a')) == "token-malformed");
  std::string flipped = good;
  flipped[good.find('.') + 5] ^= 1;
  CHECK(f.Reason(flipped) != "accepted");
  const std::string doubled = R"({"exp":9999999999,"iss":"https://sim-s","iss":"https://sim-s"})";
  CHECK(f.Reason(Fixture::Token({{"alg", "RS256"}}, doubled, f.rsa.get())) == "token-malformed");
  CHECK(f.Reason(Fixture::Token({{"alg", "RS256"}}, "[1]", f.rsa.get())) == "token-malformed");
}

TEST_CASE("a stolen token is of no use with another certificate") {
  Fixture f;
  const auto answer = f.Ask(f.Token(f.Claims()), f.other.get());
  REQUIRE(std::holds_alternative<Refusal>(answer));
  CHECK(std::get<Refusal>(answer).reason == "client-id-mismatch");
  CHECK(std::get<Refusal>(answer).problem.status == 403);
  CHECK(std::get<Refusal>(answer).actor == "val-2");
  const auto unknown = f.Ask(f.Token(f.Claims()), f.second.get());
  CHECK(std::get<Refusal>(unknown).reason == "certificate-unknown");
  CHECK(std::get<Refusal>(unknown).actor == "unknown");
}

TEST_CASE("a certificate that ran out on a kept connection is of no use any more") {
  Fixture f;
  f.clock.Advance(std::chrono::seconds(kCertificateEnds - f.clock.NowSeconds()));
  CHECK(f.Accepts(f.Token(f.Claims())));
  f.clock.Advance(std::chrono::seconds(1));
  CHECK(f.Reason(f.Token(f.Claims())) == "certificate-expired");

  Fixture early;
  early.clock.Advance(std::chrono::seconds(kCertificateBegins - 1 - early.clock.NowSeconds()));
  CHECK(early.Reason(early.Token(early.Claims())) == "certificate-expired");
  early.clock.Advance(std::chrono::seconds(1));
  CHECK(early.Accepts(early.Token(early.Claims())));
}

TEST_CASE("cnf binds the token to one certificate, and a binding we cannot check is none") {
  Fixture f;
  // The certificate is made anew for each request here, so a fixed thumbprint never fits.
  CHECK(f.ReasonWith("cnf", {{"x5t#S256", ToBase64Url(Sha256(Bytes{1}))}}) ==
        "token-bound-to-another-certificate");
  CHECK(f.ReasonWith("cnf", {{"kid", "x"}}) == "token-claims");
  CHECK(f.ReasonWith("cnf", "x") == "token-claims");
  http::RequestContext context;
  context.certificate = http::PeerCertificate{CertificateFor(f.client.get())};
  json claims = f.Claims();
  claims["cnf"] = {{"x5t#S256", ToBase64Url(Sha256(context.certificate->der))}};
  http::Request request;
  request.headers.Add("authorization", "bearer  " + f.Token(claims));
  CHECK(std::holds_alternative<AuthenticatedPrincipal>(
      f.authenticator.Authenticate(request, context, "ss-kir")));
}

TEST_CASE("without credentials there is a challenge and nothing else") {
  Fixture f;
  const auto status = [](const std::variant<AuthenticatedPrincipal, Refusal>& answer) {
    return std::get<Refusal>(answer).problem.status;
  };
  http::Request request;
  CHECK(status(f.Ask(request, f.client.get())) == 401);
  request.headers.Add("Authorization", "Basic dTpw");
  CHECK(status(f.Ask(request, f.client.get())) == 401);
  http::Request twice;
  twice.headers.Add("Authorization", "Bearer " + f.Token(f.Claims()));
  twice.headers.Add("Authorization", "Bearer " + f.Token(f.Claims()));
  CHECK(status(f.Ask(twice, f.client.get())) == 401);
  http::RequestContext bare;
  CHECK(status(f.authenticator.Authenticate(twice, bare, "ss-kir")) == 401);
}

TEST_CASE("an issuer that is removed is trusted no longer from the next request on") {
  Fixture f;
  const std::string token = f.Token(f.Claims());
  CHECK(f.Accepts(token));
  f.directory.issuers.erase(f.directory.issuers.begin());
  ++f.directory.version;
  CHECK(f.Reason(token) == "token-key-unknown");
}

TEST_CASE("a token that was accepted before is held to all the same") {
  Fixture f;
  const std::string token = f.Token(f.Claims());
  REQUIRE(f.Reason(token) == "accepted");
  REQUIRE(f.Reason(token) == "accepted");
  CHECK_FALSE(std::holds_alternative<AuthenticatedPrincipal>(f.Ask(token, f.other.get())));
  for (const std::size_t place : {std::size_t{10}, token.find('.') + 10, token.size() - 10}) {
    std::string changed = token;
    changed[place] = changed[place] == 'A' ? 'B' : 'A';
    CHECK(f.Reason(changed) != "accepted");
  }
  CHECK(f.Reason(token + "A") != "accepted");

  SUBCASE("until its time is over") {
    f.clock.Advance(std::chrono::seconds(89));
    CHECK(f.Reason(token) == "accepted");
    f.clock.Advance(std::chrono::seconds(1));
    CHECK(f.Reason(token) == "token-expired");
  }
  SUBCASE("until the issuer has other keys") {
    f.directory.issuers[0].jwks = json{{"keys", {EcJwk(f.ec.get(), "e")}}}.dump();
    ++f.directory.version;
    CHECK(f.Reason(token) != "accepted");
  }
  SUBCASE("and to what the directory says of its issuer by then") {
    f.directory.issuers[0].audience = "another";
    ++f.directory.version;
    CHECK(f.Reason(token) == "token-audience");
  }
}

TEST_CASE("a principal over its rate is told when to come back") {
  Fixture f;
  Authenticator slow(f.directory, f.clock, {30, 1, 1});
  http::Request request;
  request.headers.Add("Authorization", "Bearer " + f.Token(f.Claims()));
  http::RequestContext context;
  context.certificate = http::PeerCertificate{CertificateFor(f.client.get())};
  CHECK(std::holds_alternative<AuthenticatedPrincipal>(slow.Authenticate(request, context, "ss-kir")));
  const auto limited = slow.Authenticate(request, context, "ss-kir");
  CHECK(std::get<Refusal>(limited).problem.status == 429);
  CHECK(std::get<Refusal>(limited).problem.retry_after == 1);
}

TEST_CASE("numbers of a key that are no base64url are refused before cjose, which would end the process") {
  const Fixture f;
  for (const json& good : {RsaJwk(f.rsa.get(), "r"), EcJwk(f.ec.get(), "e")}) {
    for (const char* name : {"n", "e", "x", "y"}) {
      if (!good.contains(name)) continue;
      const std::string number = good[name];
      for (const std::string& bad : {number.substr(0, 2) + "=" + number.substr(3), number + "=",
                                     number + "====", "=" + number.substr(1), std::string("="), std::string(),
                                     std::string("A"), number.substr(0, 2) + "\n" + number.substr(3)}) {
        CAPTURE(bad);
        json key = good;
        key[name] = bad;
        CHECK(CheckJwks(json{{"keys", {key}}}.dump()).error().code == ErrorCode::kInvalidArgument);
      }
    }
  }
}

TEST_CASE("a JWK Set is checked before it is trusted") {
  Fixture f;
  CHECK(CheckJwks(f.directory.issuers[0].jwks).has_value());
  const auto complaint = [](const json& keys) {
    return CheckJwks(json{{"keys", keys}}.dump()).error().detail;
  };
  json with_private = RsaJwk(f.rsa.get(), "r");
  with_private["d"] = "AQ";
  CHECK(complaint(json::array({with_private})).find("private") != std::string::npos);
  CHECK(complaint(json::array({json{{"kty", "oct"}, {"k", "AQ"}}})).find("symmetric") != std::string::npos);
  CHECK(complaint(json::array({RsaJwk(Rsa(1024).get(), "r")})).find("2048") != std::string::npos);
  CHECK(complaint(json::array()).find("no RSA or P-256") != std::string::npos);
  json for_encryption = RsaJwk(f.rsa.get(), "r");
  for_encryption["use"] = "enc";
  CHECK(complaint(json::array({for_encryption})).find("no RSA or P-256") != std::string::npos);
  CHECK(CheckJwks("[]").has_error());
  CHECK(CheckJwks("{\"keys\":[1]}").has_error());
}

}  // namespace
}  // namespace skms::auth
