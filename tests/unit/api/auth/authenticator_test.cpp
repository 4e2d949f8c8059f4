// Certificate and token together: the one way in, and every way that is none. Keys and signatures are
// OpenSSL's.
#include "api/auth/authenticator.h"

#include <doctest/doctest.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/encoding.h"
#include "tests/support/manual_clock.h"

namespace skms::auth {
namespace {

using nlohmann::json;
using PkeyPtr = std::shared_ptr<EVP_PKEY>;

PkeyPtr Rsa(unsigned bits = 2048) { return {EVP_RSA_gen(bits), EVP_PKEY_free}; }
PkeyPtr Ec() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

std::string Number(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  Bytes octets(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, octets.data());
  BN_free(number);
  return ToBase64Url(octets);
}

json RsaJwk(EVP_PKEY* key, const char* kid) {
  return {{"kty", "RSA"}, {"kid", kid}, {"n", Number(key, "n")}, {"e", Number(key, "e")}};
}

json EcJwk(EVP_PKEY* key, const char* kid) {
  const auto coordinate = [&](const char* name) {
    BIGNUM* number = nullptr;
    EVP_PKEY_get_bn_param(key, name, &number);
    Bytes octets(32);
    BN_bn2binpad(number, octets.data(), 32);
    BN_free(number);
    return ToBase64Url(octets);
  };
  return {{"kty", "EC"}, {"crv", "P-256"}, {"kid", kid}, {"x", coordinate("qx")}, {"y", coordinate("qy")}};
}

Bytes SignedBy(EVP_PKEY* key, const std::string& text) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Bytes signature(512);
  std::size_t size = signature.size();
  EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key);
  EVP_DigestSign(context, signature.data(), &size, AsBytes(text).data(), text.size());
  EVP_MD_CTX_free(context);
  signature.resize(size);
  if (EVP_PKEY_is_a(key, "EC") != 1) return signature;
  const unsigned char* der = signature.data();
  ECDSA_SIG* parts = d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(size));
  Bytes jose(64);
  BN_bn2binpad(ECDSA_SIG_get0_r(parts), jose.data(), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(parts), jose.data() + 32, 32);
  ECDSA_SIG_free(parts);
  return jose;
}

constexpr std::time_t kCertificateBegins = 1'799'990'000;  // around the manual clock's start
constexpr std::time_t kCertificateEnds = 1'800'010'000;

Bytes CertificateFor(EVP_PKEY* key) {
  X509* certificate = X509_new();
  X509_set_pubkey(certificate, key);
  ASN1_TIME_set(X509_getm_notBefore(certificate), kCertificateBegins);
  ASN1_TIME_set(X509_getm_notAfter(certificate), kCertificateEnds);
  X509_sign(certificate, key, EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  Bytes out(der, der + size);
  OPENSSL_free(der);
  X509_free(certificate);
  return out;
}

Bytes SpkiHash(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  const Sha256Digest digest = Sha256(ByteView(der, static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return {digest.begin(), digest.end()};
}

class FakeDirectory final : public Directory {
 public:
  std::optional<DirectoryPrincipal> FindPrincipal(ByteView spki_sha256) const override {
    for (const auto& [hash, principal] : principals) {
      if (std::equal(hash.begin(), hash.end(), spki_sha256.begin(), spki_sha256.end())) return principal;
    }
    return std::nullopt;
  }
  std::vector<DirectoryIssuer> Issuers() const override { return issuers; }
  std::uint64_t IssuersVersion() const override { return version; }

  std::vector<std::pair<Bytes, DirectoryPrincipal>> principals;
  std::vector<DirectoryIssuer> issuers;
  std::uint64_t version = 1;
};

struct Fixture {
  Fixture() {
    directory.principals = {{SpkiHash(client.get()), {"val-1", "val-server", "client-1"}},
                            {SpkiHash(other.get()), {"val-2", "val-server", "client-2"}}};
    directory.issuers = {
        {"sim-s", "https://sim-s", "skms",
         json{{"keys", {RsaJwk(rsa.get(), "r"), EcJwk(ec.get(), "e")}}}.dump()},
        {"second", "https://second", "skms", json{{"keys", {RsaJwk(second.get(), "s")}}}.dump()}};
  }

  json Claims() const {
    const std::int64_t now = clock.NowSeconds();
    return {{"iss", "https://sim-s"},   {"aud", "skms"},   {"client_id", "client-1"},
            {"scope", "openid ss-kir"}, {"exp", now + 60}, {"iat", now}};
  }
  std::string Token(const json& claims) const {
    return Token({{"alg", "RS256"}, {"kid", "r"}}, claims.dump(), rsa.get());
  }
  static std::string Token(const json& header, const std::string& payload, EVP_PKEY* key) {
    const std::string text = ToBase64Url(AsBytes(header.dump())) + "." + ToBase64Url(AsBytes(payload));
    return text + "." + ToBase64Url(SignedBy(key, text));
  }
  std::variant<AuthenticatedPrincipal, Refusal> Ask(const std::string& token, EVP_PKEY* certificate_key) {
    http::Request request;
    request.headers.Add("Authorization", "Bearer " + token);
    return Ask(request, certificate_key);
  }
  std::variant<AuthenticatedPrincipal, Refusal> Ask(const http::Request& request, EVP_PKEY* certificate_key) {
    http::RequestContext context;
    certificate = CertificateFor(certificate_key);
    context.certificate = http::PeerCertificate{certificate};
    return authenticator.Authenticate(request, context, "ss-kir");
  }
  bool Accepts(const std::string& token) {
    return std::holds_alternative<AuthenticatedPrincipal>(Ask(token, client.get()));
  }
  std::string Reason(const std::string& token) {
    const auto answer = Ask(token, client.get());
    if (std::holds_alternative<AuthenticatedPrincipal>(answer)) return "accepted";
    const auto& refusal = std::get<Refusal>(answer);
    CHECK(refusal.problem.www_authenticate.empty() ==
          (refusal.problem.status == 403 && refusal.reason != "token-scope"));
    return refusal.reason;
  }
  std::string ReasonWith(const char* claim, const json& value) {
    json claims = Claims();
    claims[claim] = value;
    return Reason(Token(claims));
  }

  PkeyPtr rsa = Rsa();
  PkeyPtr ec = Ec();
  PkeyPtr second = Rsa();
  PkeyPtr client = Rsa();
  PkeyPtr other = Rsa();
  Bytes certificate;
  test::ManualClock clock;
  FakeDirectory directory;
  Authenticator authenticator{directory, clock, {30, 1e6, 1e6}};
};

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
  CHECK(f.ReasonWith("cnf", {{"jkt", "x"}}) == "token-claims");
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
