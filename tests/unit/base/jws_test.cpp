#include "base/jws.h"

#include <doctest/doctest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

#include "base/encoding.h"
#include "base/plain_json.h"

namespace skms {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

Bytes Spki(EVP_PKEY* key) {
  unsigned char* octets = nullptr;
  const int size = i2d_PUBKEY(key, &octets);
  REQUIRE(size > 0);
  Bytes out(octets, octets + size);
  OPENSSL_free(octets);
  return out;
}

/// As OpenSSL makes it: DER for EC.
Bytes Signed(EVP_PKEY* key, bool pss, const std::string& text) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* parameters = nullptr;
  REQUIRE(EVP_DigestSignInit(context, &parameters, EVP_sha256(), nullptr, key) == 1);
  if (pss) {
    REQUIRE(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1);
    REQUIRE(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) == 1);
  }
  std::size_t size = 1024;
  Bytes out(size);
  const ByteView octets = AsBytes(text);
  REQUIRE(EVP_DigestSign(context, out.data(), &size, octets.data(), octets.size()) == 1);
  out.resize(size);
  EVP_MD_CTX_free(context);
  return out;
}

Bytes RawOf(const Bytes& der) {
  const unsigned char* octets = der.data();
  ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &octets, static_cast<long>(der.size()));
  REQUIRE(pair != nullptr);
  Bytes raw(64);
  REQUIRE(BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw.data(), 32) == 32);
  REQUIRE(BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw.data() + 32, 32) == 32);
  ECDSA_SIG_free(pair);
  return raw;
}

TEST_CASE("what was signed verifies, and nothing else does") {
  const Key ec(EVP_EC_gen("P-256"));
  const Key rsa(EVP_RSA_gen(2048));
  const Key other(EVP_EC_gen("P-256"));
  const Key p384(EVP_EC_gen("P-384"));
  for (const bool pss : {false, true}) {
    CAPTURE(pss);
    EVP_PKEY* key = pss ? rsa.get() : ec.get();
    const std::string part = JwsSignedPart({pss ? "PS256" : "ES256", "skms-sign-1", "t"}, "{\"n\":1}");
    const Bytes made = Signed(key, pss, part);
    const std::string text = JwsText(part, pss ? made : RawOf(made));
    const Jws jws = std::move(ReadJws(text)).value();
    CHECK(jws.payload == "{\"n\":1}");
    CHECK(jws.header.typ == "t");
    CHECK(VerifyJws(jws, Spki(key)).has_value());
    for (const EVP_PKEY* wrong : {pss ? ec.get() : rsa.get(), other.get(), p384.get()})
      CHECK(VerifyJws(jws, Spki(const_cast<EVP_PKEY*>(wrong))).error().code == ErrorCode::kIntegrity);
    Jws changed = jws;
    changed.signature[10] ^= 1;
    CHECK(VerifyJws(changed, Spki(key)).has_error());
    changed = jws;
    changed.header.alg = pss ? "ES256" : "PS256";
    CHECK(VerifyJws(changed, Spki(key)).has_error());
    changed.header.alg = "none";
    CHECK(VerifyJws(changed, Spki(key)).has_error());
    changed = std::move(ReadJws(JwsText(JwsSignedPart(jws.header, "{\"n\":2}"), jws.signature))).value();
    CHECK(VerifyJws(changed, Spki(key)).has_error());
  }
}

TEST_CASE("a JWS has one spelling") {
  const std::string header = "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"t\"}";
  const auto with = [](const std::string& text) {
    return ToBase64Url(AsBytes(text)) + "." + ToBase64Url(AsBytes("{}")) + ".AAAA";
  };
  CHECK(ReadJws(with(header)).has_value());
  for (const char* wrong :
       {"", "{}", "{\"alg\":\"ES256\",\"kid\":\"k\"}", "{\"kid\":\"k\",\"alg\":\"ES256\",\"typ\":\"t\"}",
        "{\"alg\": \"ES256\",\"kid\":\"k\",\"typ\":\"t\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"t\",\"crit\":[]}",
        "{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"k\",\"typ\":\"t\"}",
        "{\"alg\":\"ES\\u0032\",\"kid\":\"k\",\"typ\":\"t\"}"}) {
    CAPTURE(wrong);
    CHECK(ReadJws(with(wrong)).has_error());
  }
  for (const char* wrong : {"", ".", "..", "a.b", "e30.e30.e30=", "e30.e30.e30.e30"})
    CHECK(ReadJws(wrong).has_error());
}

TEST_CASE("plain JSON is read as it is written") {
  const std::string text =
      PlainJsonWriter().Text("a", "x/y+z").Number("n", -5).Text("quote", "\"\\\n\xc3").Done();
  CHECK(text == "{\"a\":\"x/y+z\",\"n\":-5,\"quote\":\"????\"}");
  PlainJsonReader reader(text);
  CHECK_FALSE(reader.Number("n"));
  CHECK(reader.Text("a") == "x/y+z");
  CHECK_FALSE(reader.Text("n"));
  CHECK(reader.Number("n") == -5);
  CHECK_FALSE(reader.AtEnd());
  CHECK(reader.Text("quote") == "????");
  CHECK(reader.AtEnd());
  for (const char* wrong :
       {"{\"n\":007}", "{\"n\":-0}", "{\"n\":1.5}", "{\"n\":1 }", "{\"n\":1},", "\"n\":1}"}) {
    CAPTURE(wrong);
    PlainJsonReader other(wrong);
    CHECK_FALSE((other.Number("n") && other.AtEnd()));
  }
}

}  // namespace
}  // namespace skms
