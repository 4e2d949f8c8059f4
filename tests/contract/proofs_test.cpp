// HMAC, signatures and random numbers, checked by OpenSSL.
#include <doctest/doctest.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include <set>

#include "tests/contract/contract_token.h"
#include "tests/contract/recipient.h"

namespace skms::hsm {
namespace {

/// JOSE's r||s as the DER that OpenSSL verifies.
Bytes DerOf(const Bytes& signature) {
  ECDSA_SIG* parts = ECDSA_SIG_new();
  ECDSA_SIG_set0(parts, BN_bin2bn(signature.data(), 32, nullptr),
                 BN_bin2bn(signature.data() + 32, 32, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(parts, &der);
  Bytes out(der, der + size);
  OPENSSL_free(der);
  ECDSA_SIG_free(parts);
  return out;
}

bool Verifies(ByteView spki, const std::string& algorithm, const Bytes& signature, std::string_view message) {
  const PkeyPtr key = test::PublicKey(spki);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* parameters = nullptr;
  REQUIRE(EVP_DigestVerifyInit(context, &parameters, EVP_sha256(), nullptr, key.get()) == 1);
  const bool ec = algorithm == "ES256";
  if (!ec) {
    REQUIRE(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1);
    REQUIRE(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) == 1);
  }
  const Bytes octets = ec ? DerOf(signature) : signature;
  const ByteView text = AsBytes(message);
  const int verdict = EVP_DigestVerify(context, octets.data(), octets.size(), text.data(), text.size());
  EVP_MD_CTX_free(context);
  return verdict == 1;
}

TEST_CASE("a MAC is deterministic, tells messages apart and is refused when changed") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const Mac mac = module->ComputeMac(1, AsBytes("row")).value();
  CHECK(module->ComputeMac(1, AsBytes("row")).value() == mac);
  CHECK(module->ComputeMac(1, AsBytes("roW")).value() != mac);
  CHECK(module->VerifyMac(1, AsBytes("row"), mac).has_value());
  Mac changed = mac;
  changed[31] ^= 1U;
  CHECK(module->VerifyMac(1, AsBytes("row"), changed).error().code == ErrorCode::kIntegrity);
  CHECK(module->ComputeMac(2, AsBytes("row")).error().code == ErrorCode::kNotFound);
}

TEST_CASE("a signature verifies with OpenSSL under the public key that is shown") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  CHECK(module->signature_algorithm() == (module->capabilities().ecdsa ? "ES256" : "PS256"));
  const Bytes signature = module->Sign(AsBytes("checkpoint")).value();
  const Bytes spki = module->SigningPublicKey().value();
  CHECK(Verifies(spki, module->signature_algorithm(), signature, "checkpoint"));
  CHECK_FALSE(Verifies(spki, module->signature_algorithm(), signature, "checkpoinT"));
}

TEST_CASE("random numbers differ and have the length asked for") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  std::set<Bytes> seen;
  for (int i = 0; i < 100; ++i) seen.insert(module->Random(16).value());
  CHECK(seen.size() == 100);
  CHECK(module->Random(4096).value().size() == 4096);
  CHECK(module->Random(0).error().code == ErrorCode::kInvalidArgument);
  CHECK(module->Random(4097).error().code == ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skms::hsm
