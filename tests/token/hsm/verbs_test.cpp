// HMAC, signatures, random numbers, and the object count after a thousand verbs.
#include <doctest/doctest.h>
#include <openssl/ecdsa.h>
#include <openssl/x509.h>

#include <set>

#include "base/digest.h"
#include "hsm/crypto_module.h"
#include "hsm/openssl_keys.h"
#include "tests/token/soft_token.h"

namespace skms::hsm {
namespace {

using test::SoftToken;

TEST_CASE("a MAC is deterministic, tells messages apart and is refused when changed") {
  const SoftToken token;
  const auto module = token.Provision();
  const Mac mac = module->ComputeMac(1, AsBytes("row")).value();
  CHECK(module->ComputeMac(1, AsBytes("row")).value() == mac);
  CHECK(module->ComputeMac(1, AsBytes("roW")).value() != mac);
  CHECK(module->VerifyMac(1, AsBytes("row"), mac).has_value());
  Mac changed = mac;
  changed[31] ^= 1;
  CHECK(module->VerifyMac(1, AsBytes("row"), changed).error().code == ErrorCode::kIntegrity);
  CHECK(module->VerifyMac(1, AsBytes("row"), ByteView(mac).first(16)).error().code == ErrorCode::kIntegrity);
  CHECK(module->ComputeMac(2, AsBytes("row")).error().code == ErrorCode::kNotFound);
}

TEST_CASE("the MAC key is the token's: another token gives another MAC") {
  Mac first{};
  {
    const SoftToken token;
    first = token.Provision()->ComputeMac(1, AsBytes("row")).value();
  }
  SoftToken token;
  token.KeepKeysOfItsOwn();
  CHECK(token.Provision()->ComputeMac(1, AsBytes("row")).value() != first);
}

TEST_CASE("a signature is ES256 in JOSE form and verifies with OpenSSL") {
  const SoftToken token;
  const auto module = token.Provision();
  CHECK(module->signature_algorithm() == "ES256");
  const Bytes signature = module->Sign(AsBytes("checkpoint")).value();
  REQUIRE(signature.size() == 64);

  ECDSA_SIG* parts = ECDSA_SIG_new();
  ECDSA_SIG_set0(parts, BN_bin2bn(signature.data(), 32, nullptr),
                 BN_bin2bn(signature.data() + 32, 32, nullptr));
  unsigned char* der = nullptr;
  const int der_size = i2d_ECDSA_SIG(parts, &der);
  const Bytes spki = module->SigningPublicKey().value();
  const unsigned char* data = spki.data();
  const PkeyPtr key(d2i_PUBKEY(nullptr, &data, static_cast<long>(spki.size())));
  const auto verifies = [&](std::string_view message) {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, key.get());
    const ByteView octets = AsBytes(message);
    const int verdict =
        EVP_DigestVerify(context, der, static_cast<std::size_t>(der_size), octets.data(), octets.size());
    EVP_MD_CTX_free(context);
    return verdict == 1;
  };
  CHECK(verifies("checkpoint"));
  CHECK_FALSE(verifies("checkpoinT"));
  OPENSSL_free(der);
  ECDSA_SIG_free(parts);
}

TEST_CASE("random numbers differ and have the length asked for") {
  const SoftToken token;
  const auto module = token.Provision();
  std::set<Bytes> seen;
  for (int i = 0; i < 100; ++i) seen.insert(module->Random(16).value());
  CHECK(seen.size() == 100);
  CHECK(module->Random(4096).value().size() == 4096);
  CHECK(module->Random(0).error().code == ErrorCode::kInvalidArgument);
  CHECK(module->Random(4097).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("a key specification that is none is refused before the token is asked") {
  const SoftToken token;
  const auto module = token.Provision();
  CHECK(module->GenerateWrapped({KeyKind::kAes, 24}).error().code == ErrorCode::kInvalidArgument);
  CHECK(module->GenerateWrapped({KeyKind::kGenericSecret, 8}).error().code == ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skms::hsm
