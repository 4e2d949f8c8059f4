// Payloads, where the token has AES-GCM: sealed as OpenSSL would, opened again, re-wrapped, and refused when
// changed.
#include <doctest/doctest.h>

#include "tests/contract/contract_token.h"
#include "tests/contract/recipient.h"

namespace skms::hsm {
namespace {

using test::OaepEncryptTo;
using test::RsaHolder;

std::unique_ptr<CryptoModule> OpenWithGcmOrSkip() {
  auto module = test::OpenOrSkip();
  if (module != nullptr && test::Lacks("AES-GCM", module->capabilities().aes_gcm)) return nullptr;
  return module;
}

TEST_CASE("a sealed payload is AES-256-GCM under the key that a recipient gets, whatever its length") {
  const auto module = OpenWithGcmOrSkip();
  if (module == nullptr) return;
  const RsaHolder rsa(*module->capabilities().oaep_hash);
  const Bytes aad{1, 2, 3};
  for (const std::size_t size : {std::size_t{1}, std::size_t{17}, std::size_t{65536}}) {
    CAPTURE(size);
    const Bytes plain(size, 0x42);
    const auto sealed = module->Seal(plain, aad);
    REQUIRE(sealed.has_value());
    const auto delivered = module->RewrapContentKey(rsa.recipient(), sealed.value().key);
    REQUIRE(delivered.has_value());
    const SecretBytes key = rsa.Open(delivered.value());
    CHECK(GcmEncrypt(key.ExposeSecret(), sealed.value().nonce, aad, plain).value() ==
          sealed.value().ciphertext);
    const auto opened = module->Unseal(sealed.value(), aad);
    REQUIRE(opened.has_value());
    CHECK(ConstantTimeEqual(opened.value().ExposeSecret(), plain));
  }
}

TEST_CASE("a changed payload, other associated data and another's key are told") {
  const auto module = OpenWithGcmOrSkip();
  if (module == nullptr) return;
  const Bytes plain(40, 7);
  const auto one = module->Seal(plain, {}).value();
  const auto other = module->Seal(plain, {}).value();
  CHECK(one.nonce != other.nonce);
  SealedPayload changed = one;
  changed.ciphertext[3] ^= 1U;
  CHECK(module->Unseal(changed, {}).error().code == ErrorCode::kIntegrity);
  CHECK(module->Unseal(one, Bytes{1}).error().code == ErrorCode::kIntegrity);
  changed = one;
  changed.key = other.key;
  CHECK(module->Unseal(changed, {}).error().code == ErrorCode::kIntegrity);
  CHECK(module->Unseal(one, {}).has_value());
}

TEST_CASE("a content key goes to a transport key by RFC 3394") {
  const auto module = OpenWithGcmOrSkip();
  if (module == nullptr || test::Lacks("wrap RFC 3394 (KW)", module->capabilities().aes_key_wrap)) return;
  const Bytes transport(32, 0x11);
  const WrappedKey admitted =
      module
          ->AdmitTransportKey(OaepEncryptTo(module->TransferPublicKey().value(),
                                            *module->capabilities().oaep_hash, transport))
          .value();
  const RsaHolder rsa(*module->capabilities().oaep_hash);
  const SealedPayload sealed = module->Seal(Bytes(5, 1), {}).value();
  const auto delivered = module->RewrapContentKey(TransportKeyRecipient{admitted}, sealed.key);
  REQUIRE(delivered.has_value());
  CHECK(delivered.value().alg == "A256KW");
  const SecretBytes key = rsa.Open(module->RewrapContentKey(rsa.recipient(), sealed.key).value());
  CHECK(WrapRfc3394(transport, key.ExposeSecret()).value() == delivered.value().encrypted_key);
}

TEST_CASE("what was encrypted to the transfer key opens, and a changed one does not") {
  const auto module = OpenWithGcmOrSkip();
  if (module == nullptr) return;
  const Bytes key(32, 0x33);
  const Bytes nonce(12, 1);
  const Bytes aad{9};
  const Bytes plain(100, 5);
  const TransferredPayload sent{
      OaepEncryptTo(module->TransferPublicKey().value(), *module->capabilities().oaep_hash, key), nonce, aad,
      GcmEncrypt(key, nonce, aad, plain).value()};
  const auto opened = module->OpenForTransfer(sent);
  INFO((opened.has_error() ? opened.error().Describe() : ""));
  REQUIRE(opened.has_value());
  CHECK(ConstantTimeEqual(opened.value().ExposeSecret(), plain));
  TransferredPayload wrong_tag = sent;
  wrong_tag.ciphertext.back() ^= 1U;
  TransferredPayload wrong_key = sent;
  wrong_key.encrypted_key[5] ^= 1U;
  CHECK(module->OpenForTransfer(wrong_tag).error().code == ErrorCode::kInvalidArgument);
  CHECK(module->OpenForTransfer(wrong_key).error().code == ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skms::hsm
