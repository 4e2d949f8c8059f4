// Recipients: transport keys that come in and open what goes out, and public keys that are refused.
#include <doctest/doctest.h>
#include <openssl/ec.h>

#include <algorithm>

#include "hsm/openssl_agreement.h"
#include "tests/contract/contract_token.h"
#include "tests/contract/recipient.h"

namespace skms::hsm {
namespace {

using test::OaepEncryptTo;
using test::RsaHolder;

TEST_CASE("a transport key comes in encrypted and then opens what is delivered under it") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const Bytes transport(32, 0x77);
  const auto admitted = module->AdmitTransportKey(
      OaepEncryptTo(module->TransferPublicKey().value(), *module->capabilities().oaep_hash, transport));
  INFO((admitted.has_error() ? admitted.error().Describe() : ""));
  REQUIRE(admitted.has_value());
  std::vector<KeySpec> specs{{KeyKind::kAes, 16}, {KeyKind::kAes, 32}, {KeyKind::kGenericSecret, 32}};
  if (module->capabilities().wraps_ec) specs.push_back({KeyKind::kEcPrivate, 0});
  for (const KeySpec& spec : specs) {
    CAPTURE(static_cast<int>(spec.kind));
    const GeneratedKey generated = module->GenerateWrapped(spec).value();
    const auto delivered = module->RewrapFor(TransportKeyRecipient{admitted.value()}, generated.wrapped, spec,
                                             generated.public_key);
    INFO((delivered.has_error() ? delivered.error().Describe() : ""));
    REQUIRE(delivered.has_value());
    CHECK(delivered.value().alg == "A256KWP");
    const auto opened = UnwrapRfc5649(transport, delivered.value().encrypted_key);
    REQUIRE(opened.has_value());
    CHECK(ConstantTimeEqual(
        opened.value().ExposeSecret(),
        module->Reveal(generated.wrapped, spec, generated.public_key).value().ExposeSecret()));
  }
}

TEST_CASE("a transport key of another length, or not for us, is refused") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const Bytes spki = module->TransferPublicKey().value();
  const OaepHash hash = *module->capabilities().oaep_hash;
  const auto refusal = [&](const Bytes& block) { return module->AdmitTransportKey(block).error().code; };
  CHECK(refusal(OaepEncryptTo(spki, hash, Bytes(16, 1))) == ErrorCode::kInvalidArgument);
  CHECK(refusal(Bytes(384, 1)) == ErrorCode::kInvalidArgument);
  CHECK(refusal({}) == ErrorCode::kInvalidArgument);
}

TEST_CASE("a recipient key that is none, too short, or has a weak exponent is refused") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const KeySpec spec{KeyKind::kAes, 32};
  const WrappedKey key = module->GenerateWrapped(spec).value().wrapped;
  const auto refused = [&](Bytes spki) {
    return module->RewrapFor(RsaRecipient{std::move(spki)}, key, spec).error().code ==
           ErrorCode::kInvalidArgument;
  };
  CHECK(refused({}));
  CHECK(refused(Bytes(100, 0x30)));
  const PkeyPtr small(EVP_RSA_gen(1024));
  CHECK(refused(PublicSpki(small.get()).value()));
  const PkeyPtr ec(EVP_EC_gen("P-256"));
  CHECK(refused(PublicSpki(ec.get()).value()));
  CHECK(refused(RsaSpkiFromNumbers(Bytes(256, 0xFF), Bytes{3}).value()));
}

/// A key of every kind to an EC recipient of this process, opened by OpenSSL.
void CheckEcDelivery(CryptoModule& module, Curve curve) {
  const PkeyPtr own = GenerateEc(curve).value();
  const Recipient recipient = EcRecipient{PublicSpki(own.get()).value()};
  std::vector<KeySpec> specs{{KeyKind::kAes, 16}, {KeyKind::kAes, 32}, {KeyKind::kGenericSecret, 64}};
  if (module.capabilities().wraps_ec) specs.push_back({KeyKind::kEcPrivate, 0});
  for (const KeySpec& spec : specs) {
    CAPTURE(static_cast<int>(spec.kind));
    const GeneratedKey key = module.GenerateWrapped(spec).value();
    const auto delivered = module.RewrapFor(recipient, key.wrapped, spec, key.public_key);
    INFO((delivered.has_error() ? delivered.error().Describe() : ""));
    REQUIRE(delivered.has_value());
    CHECK(delivered.value().alg == "ECDH-ES+A256KWP");
    const auto agreed = EcdhX963(own.get(), delivered.value().ephemeral_spki, AsBytes("ECDH-ES+A256KWP"));
    REQUIRE(agreed.has_value());
    const auto opened = UnwrapRfc5649(agreed.value().ExposeSecret(), delivered.value().encrypted_key);
    REQUIRE(opened.has_value());
    CHECK(ConstantTimeEqual(opened.value().ExposeSecret(),
                            module.Reveal(key.wrapped, spec, key.public_key).value().ExposeSecret()));
    const auto again = module.RewrapFor(recipient, key.wrapped, spec, key.public_key);
    CHECK(again.value().ephemeral_spki != delivered.value().ephemeral_spki);
  }
}

TEST_CASE("a recipient on P-256 derives what opens its key") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr || test::Lacks("ECDH with KDF, P-256", module->capabilities().ecdh_kdf_p256)) return;
  CheckEcDelivery(*module, Curve::kP256);
}

TEST_CASE("a recipient on P-384 derives what opens its key") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr || test::Lacks("ECDH with KDF, P-384", module->capabilities().ecdh_kdf_p384)) return;
  CheckEcDelivery(*module, Curve::kP384);
}

TEST_CASE("an EC recipient is refused by name where the token has no KDF, and one that is none everywhere") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const KeySpec spec{KeyKind::kAes, 32};
  const WrappedKey key = module->GenerateWrapped(spec).value().wrapped;
  const auto refusal = [&](Bytes spki) {
    const auto delivered = module->RewrapFor(EcRecipient{std::move(spki)}, key, spec);
    return delivered.has_error() ? std::optional(delivered.error().code) : std::nullopt;
  };
  CHECK(refusal({}) == ErrorCode::kInvalidArgument);
  CHECK(refusal(PublicSpki(GenerateRsa().value().get()).value()) == ErrorCode::kInvalidArgument);
  Bytes off_curve = PublicSpki(GenerateEc(Curve::kP256).value().get()).value();
  off_curve.back() ^= 1U;
  CHECK(refusal(off_curve) == ErrorCode::kInvalidArgument);
  if (!module->capabilities().ecdh_kdf_p256) {
    CHECK(refusal(PublicSpki(GenerateEc(Curve::kP256).value().get()).value()) == ErrorCode::kUnsupported);
  }
}

TEST_CASE("the forms of delivery that are announced are the ones that come") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const RsaHolder rsa(*module->capabilities().oaep_hash);
  const KeySpec spec{KeyKind::kAes, 32};
  const auto delivered =
      module->RewrapFor(rsa.recipient(), module->GenerateWrapped(spec).value().wrapped, spec);
  REQUIRE(delivered.has_value());
  const std::vector<std::string> announced = module->wrapping_algorithms();
  CHECK(std::find(announced.begin(), announced.end(), delivered.value().alg) != announced.end());
  CHECK(std::find(announced.begin(), announced.end(), "A256KWP") != announced.end());
  const bool ecdh = std::find(announced.begin(), announced.end(), kEcdhName) != announced.end();
  CHECK(ecdh == (module->capabilities().ecdh_kdf_p256 || module->capabilities().ecdh_kdf_p384));
}

}  // namespace
}  // namespace skms::hsm
