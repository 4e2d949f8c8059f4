#include "api/seal/discovery.h"

#include <doctest/doctest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/seal/public_jwk.h"
#include "base/encoding.h"

namespace skms::seal {
namespace {

using nlohmann::json;

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

Bytes Spki(const Key& key) {
  unsigned char* raw = nullptr;
  const int size = i2d_PUBKEY(key.get(), &raw);
  REQUIRE(size > 0);
  Bytes der(raw, raw + size);
  OPENSSL_free(raw);
  return der;
}

/// The number in a JWK, as OpenSSL's own of `name`?
bool IsNumberOf(const Key& key, const char* name, const json& member) {
  const auto octets = FromBase64Url(member.get<std::string>());
  REQUIRE(octets);
  BIGNUM* expected = nullptr;
  REQUIRE(EVP_PKEY_get_bn_param(key.get(), name, &expected) == 1);
  BIGNUM* got = BN_bin2bn(octets->data(), static_cast<int>(octets->size()), nullptr);
  const bool same = BN_cmp(expected, got) == 0;
  BN_free(expected);
  BN_free(got);
  return same;
}

DiscoveryDocument Document(Bytes spki) {
  DiscoveryDocument document{
      "skms-1", "https://kms.example/base", {{"ss-kir", "v1", "KM-S", "keys"}}, {"RSA-OAEP"}, {}};
  document.keys.push_back({"skms-transfer-1", "RSA-OAEP", "enc", std::move(spki)});
  return document;
}

}  // namespace

TEST_CASE("public keys become the JWKs of RFC 7518, with the numbers that they have") {
  const Key rsa(EVP_RSA_gen(2048));
  const json jwk = PublicJwk(Spki(rsa)).value();
  CHECK(jwk.size() == 3);
  CHECK(jwk["kty"] == "RSA");
  CHECK(jwk["e"] == "AQAB");
  CHECK(IsNumberOf(rsa, OSSL_PKEY_PARAM_RSA_N, jwk["n"]));
  CHECK(FromBase64Url(jwk["n"].get<std::string>())->size() == 256);  // no zero octet before it
}

TEST_CASE("coordinates keep their leading zeros: one key in 128 has one") {
  for (int i = 0; i < 800; ++i) {
    const bool large = i % 2 == 1;
    const Key ec(EVP_EC_gen(large ? "P-384" : "P-256"));
    const json jwk = PublicJwk(Spki(ec)).value();
    REQUIRE(jwk["crv"] == (large ? "P-384" : "P-256"));
    for (const char* name : {"x", "y"}) {
      REQUIRE(FromBase64Url(jwk[name].get<std::string>())->size() == (large ? 48 : 32));
    }
    REQUIRE(IsNumberOf(ec, OSSL_PKEY_PARAM_EC_PUB_X, jwk["x"]));
    REQUIRE(IsNumberOf(ec, OSSL_PKEY_PARAM_EC_PUB_Y, jwk["y"]));
  }
}

TEST_CASE("what is no RSA, P-256 or P-384 key is refused, not published") {
  CHECK(PublicJwk(Spki(Key(EVP_EC_gen("P-521")))).has_error());
  CHECK(PublicJwk(Spki(Key(EVP_EC_gen("secp256k1")))).has_error());  // 256 bits, too
  CHECK(PublicJwk(Bytes{}).has_error());
  CHECK(PublicJwk(Bytes{0x30, 0x03, 0x01, 0x02, 0x03}).has_error());
  CHECK(EncodeDiscovery(Document({1, 2, 3})).has_error());
}

TEST_CASE("discovery is served under the apiRoot without credentials, and kept by its entity tag") {
  http::Api api{http::Limits{}};
  const Key rsa(EVP_RSA_gen(2048));
  REQUIRE(RegisterDiscovery(api, "https://kms.example/base", [&] {
            return Result<DiscoveryDocument>(Document(Spki(rsa)));
          }).has_value());
  http::RequestContext context;
  http::Request request{"GET", "/base/.well-known/skms", "", {}, ""};
  const http::Response first = api.Handle(request, context);
  CHECK(first.status == 200);
  CHECK(*first.headers.Find("Cache-Control") == "public, max-age=3600");
  const json body = json::parse(first.body);
  CHECK(body["apis"][0]["uri"] == "https://kms.example/base/ss-kir/v1");
  CHECK(body["apis"][0]["scope"] == "keys");
  CHECK(body["jwks"]["keys"][0]["kid"] == "skms-transfer-1");
  request.headers.Add("If-None-Match", *first.headers.Find("ETag"));
  const http::Response again = api.Handle(request, context);
  CHECK(again.status == 304);
  CHECK(again.body.empty());
  CHECK(*again.headers.Find("ETag") == *first.headers.Find("ETag"));
  request.headers.Set("If-None-Match", "\"other\"");
  CHECK(api.Handle(request, context).status == 200);
}

}  // namespace skms::seal
