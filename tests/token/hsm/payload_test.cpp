// Payloads sealed in the token, compared with what OpenSSL makes of the content key that went to a recipient.
#include <doctest/doctest.h>

#include "hsm/crypto_module.h"
#include "hsm/openssl_keys.h"
#include "tests/token/hsm/oaep_encrypt.h"
#include "tests/token/soft_token.h"

namespace skms::hsm {
namespace {

using test::SoftToken;

TEST_CASE("a sealed payload is AES-256-GCM under the key that a recipient gets, whatever its length") {
  const SoftToken token;
  const auto module = token.Provision();
  const PkeyPtr rsa = GenerateRsa().value();
  const Recipient recipient = RsaRecipient{PublicSpki(rsa.get()).value()};
  const Bytes aad{1, 2, 3};
  for (const std::size_t size : {std::size_t{1}, std::size_t{17}, std::size_t{65536}}) {
    CAPTURE(size);
    const Bytes plain(size, 0x42);
    const auto sealed = module->Seal(plain, aad);
    REQUIRE(sealed.has_value());
    const auto delivered = module->RewrapContentKey(recipient, sealed.value().key);
    REQUIRE(delivered.has_value());
    CHECK(delivered.value().alg == "RSA-OAEP");
    const auto key = OaepDecrypt(rsa.get(), OaepHash::kSha1, delivered.value().encrypted_key);
    REQUIRE(key.has_value());
    const auto again = GcmEncrypt(key.value().ExposeSecret(), sealed.value().nonce, aad, plain);
    CHECK(again.value() == sealed.value().ciphertext);
    const auto opened = module->Unseal(sealed.value(), aad);
    REQUIRE(opened.has_value());
    CHECK(ConstantTimeEqual(opened.value().ExposeSecret(), plain));
  }
}

TEST_CASE("two seals share neither key nor nonce, and a changed one is told") {
  const SoftToken token;
  const auto module = token.Provision();
  const Bytes plain(40, 7);
  const auto one = module->Seal(plain, {}).value();
  const auto other = module->Seal(plain, {}).value();
  CHECK(one.nonce != other.nonce);
  CHECK(one.key.bytes != other.key.bytes);
  SealedPayload changed = one;
  changed.ciphertext[3] ^= 1U;
  CHECK(module->Unseal(changed, {}).error().code == ErrorCode::kIntegrity);
  CHECK(module->Unseal(one, Bytes{1}).error().code == ErrorCode::kIntegrity);
  changed = one;
  changed.key = other.key;
  CHECK(module->Unseal(changed, {}).error().code == ErrorCode::kIntegrity);
  // The token goes on after refusals.
  CHECK(module->Unseal(one, {}).has_value());
}

TEST_CASE("a content key goes to a transport key by RFC 3394, which JOSE calls A256KW") {
  const SoftToken token;
  const auto module = token.Provision();
  const Bytes transport(32, 0x11);
  const auto admitted =
      module->AdmitTransportKey(OaepEncrypt(module->TransferPublicKey().value(), transport));
  const auto sealed = module->Seal(Bytes(5, 1), {}).value();
  const auto delivered = module->RewrapContentKey(TransportKeyRecipient{admitted.value()}, sealed.key);
  REQUIRE(delivered.has_value());
  CHECK(delivered.value().alg == "A256KW");
  const PkeyPtr rsa = GenerateRsa().value();
  const auto to_rsa =
      module->RewrapContentKey(RsaRecipient{PublicSpki(rsa.get()).value()}, sealed.key).value();
  const auto key = OaepDecrypt(rsa.get(), OaepHash::kSha1, to_rsa.encrypted_key);
  CHECK(WrapRfc3394(transport, key.value().ExposeSecret()).value() == delivered.value().encrypted_key);
}

TEST_CASE("what is encrypted to the transfer key is opened in the token; everything else has one answer") {
  const SoftToken token;
  const auto module = token.Provision();
  const Bytes key(32, 0x33);
  const Bytes nonce(12, 1);
  const Bytes aad{9};
  const Bytes plain(100, 5);
  TransferredPayload sent{OaepEncrypt(module->TransferPublicKey().value(), key), nonce, aad,
                          GcmEncrypt(key, nonce, aad, plain).value()};
  const auto opened = module->OpenForTransfer(sent);
  REQUIRE(opened.has_value());
  CHECK(ConstantTimeEqual(opened.value().ExposeSecret(), plain));
  TransferredPayload wrong_tag = sent;
  wrong_tag.ciphertext.back() ^= 1U;
  TransferredPayload wrong_key = sent;
  wrong_key.encrypted_key[5] ^= 1U;
  const Error tag = module->OpenForTransfer(wrong_tag).error();
  const Error block = module->OpenForTransfer(wrong_key).error();
  CHECK(tag.code == ErrorCode::kInvalidArgument);
  CHECK(block.code == ErrorCode::kInvalidArgument);
  CHECK(tag.detail == block.detail);
  // AES-128 is no key of A256GCM, though the token could use it.
  TransferredPayload short_key = sent;
  short_key.encrypted_key = OaepEncrypt(module->TransferPublicKey().value(), Bytes(16, 0x33));
  CHECK(module->OpenForTransfer(short_key).error().detail == tag.detail);
}

}  // namespace
}  // namespace skms::hsm
