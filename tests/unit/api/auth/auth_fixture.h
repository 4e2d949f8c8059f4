// Issuers, principals, certificates and tokens for the tests of authentication. Keys and signatures are
// OpenSSL's.
#pragma once

#include <doctest/doctest.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/auth/authenticator.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "tests/support/manual_clock.h"

namespace skms::auth::auth_fixture {

using nlohmann::json;
using PkeyPtr = std::shared_ptr<EVP_PKEY>;

inline PkeyPtr Rsa(unsigned bits = 2048) { return {EVP_RSA_gen(bits), EVP_PKEY_free}; }
inline PkeyPtr Ec() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

inline std::string Number(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  Bytes octets(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, octets.data());
  BN_free(number);
  return ToBase64Url(octets);
}

inline json RsaJwk(EVP_PKEY* key, const char* kid) {
  return {{"kty", "RSA"}, {"kid", kid}, {"n", Number(key, "n")}, {"e", Number(key, "e")}};
}

inline json EcJwk(EVP_PKEY* key, const char* kid) {
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

inline Bytes SignedBy(EVP_PKEY* key, const std::string& text) {
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

inline Bytes CertificateFor(EVP_PKEY* key) {
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

inline Bytes SpkiHash(EVP_PKEY* key) {
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
  bool RefreshKeys(const std::string& issuer_id) override {
    asked.push_back(issuer_id);
    if (newer_keys.empty()) return false;
    issuers[0].jwks = newer_keys;
    ++version;
    return true;
  }

  std::vector<std::pair<Bytes, DirectoryPrincipal>> principals;
  std::vector<DirectoryIssuer> issuers;
  std::uint64_t version = 1;
  std::string newer_keys;          ///< of the first issuer, there once it is asked
  std::vector<std::string> asked;  ///< whose newer keys were asked for
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
  std::variant<AuthenticatedUe, Refusal> AskAsUe(const std::string& token,
                                                 EVP_PKEY* certificate_key = nullptr) {
    http::Request request;
    if (!token.empty()) request.headers.Add("Authorization", "Bearer " + token);
    http::RequestContext context;
    if (certificate_key != nullptr) {
      certificate = CertificateFor(certificate_key);
      context.certificate = http::PeerCertificate{certificate};
    }
    return authenticator.AuthenticateUe(request, context, "skm");
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

}  // namespace skms::auth::auth_fixture
