// Keys of every kind: generated, wrapped, delivered and opened again; and what must not open.
#include <doctest/doctest.h>

#include "hsm/key_operations.h"
#include "hsm/openssl_agreement.h"
#include "hsm/token.h"
#include "tests/contract/contract_token.h"
#include "tests/contract/recipient.h"

namespace skms::hsm {
namespace {

using test::RsaHolder;

void CheckDelivery(CryptoModule& module, const KeySpec& spec) {
  CAPTURE(static_cast<int>(spec.kind));
  CAPTURE(spec.bytes);
  const RsaHolder rsa(*module.capabilities().oaep_hash);
  const auto generated = module.GenerateWrapped(spec);
  INFO((generated.has_error() ? generated.error().Describe() : ""));
  REQUIRE(generated.has_value());
  CHECK(generated.value().wrapped.format == kFormatRfc5649);
  const auto delivered =
      module.RewrapFor(rsa.recipient(), generated.value().wrapped, spec, generated.value().public_key);
  INFO((delivered.has_error() ? delivered.error().Describe() : ""));
  REQUIRE(delivered.has_value());
  const SecretBytes opened = rsa.Open(delivered.value());
  const auto revealed = module.Reveal(generated.value().wrapped, spec, generated.value().public_key);
  REQUIRE(revealed.has_value());
  CHECK(ConstantTimeEqual(opened.ExposeSecret(), revealed.value().ExposeSecret()));
  if (spec.kind != KeyKind::kEcPrivate) CHECK(opened.size() == spec.bytes);
}

/// The key that `module` delivers while it makes it is the one that it keeps. `open`: the recipient, with
/// what is his.
template <class Open>
void CheckDeliveredAtOnce(CryptoModule& module, const KeySpec& spec, const Recipient& to, const Open& open) {
  CAPTURE(static_cast<int>(spec.kind));
  const GeneratedKey generated = module.GenerateWrapped(spec, Recipients::kAny, &to).value();
  REQUIRE(generated.delivered.has_value());
  const auto later = module.RewrapFor(to, generated.wrapped, spec, generated.public_key);
  REQUIRE(later.has_value());
  CHECK(generated.delivered->alg == later.value().alg);
  const SecretBytes opened = open(*generated.delivered);
  CHECK(ConstantTimeEqual(opened.ExposeSecret(), open(later.value()).ExposeSecret()));
}

/// Secret keys, and an EC private key where the token wraps one.
std::vector<KeySpec> SpecsOn(const CryptoModule& module) {
  std::vector<KeySpec> specs{{KeyKind::kAes, 16}, {KeyKind::kAes, 32}, {KeyKind::kGenericSecret, 64}};
  if (module.capabilities().wraps_ec) specs.push_back({KeyKind::kEcPrivate, 0});
  return specs;
}

TEST_CASE("a key that is wrapped to somebody while it is made is the one that is kept") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const OaepHash hash = *module->capabilities().oaep_hash;
  const RsaHolder rsa(hash);
  const Bytes transport(32, 0x77);
  const TransportKeyRecipient admitted{
      module->AdmitTransportKey(test::OaepEncryptTo(module->TransferPublicKey().value(), hash, transport))
          .value()};
  const PkeyPtr own = GenerateEc(Curve::kP256).value();
  for (const KeySpec& spec : SpecsOn(*module)) {
    CheckDeliveredAtOnce(*module, spec, rsa.recipient(),
                         [&](const DeliveredKey& delivered) { return rsa.Open(delivered); });
    CheckDeliveredAtOnce(*module, spec, admitted, [&](const DeliveredKey& delivered) {
      return UnwrapRfc5649(transport, delivered.encrypted_key).value();
    });
    if (!module->capabilities().ecdh_kdf_p256) continue;
    CheckDeliveredAtOnce(
        *module, spec, EcRecipient{PublicSpki(own.get()).value()}, [&](const DeliveredKey& delivered) {
          const auto agreed = EcdhX963(own.get(), delivered.ephemeral_spki, AsBytes(kEcdhName));
          return UnwrapRfc5649(agreed.value().ExposeSecret(), delivered.encrypted_key).value();
        });
  }
}

TEST_CASE("for somebody whom nothing can be wrapped to a key is made all the same") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  TransportKeyRecipient foreign{module->GenerateWrapped({KeyKind::kAes, 32}).value().wrapped};
  foreign.key.bytes.back() ^= 1U;
  const PkeyPtr small(EVP_RSA_gen(1024));
  for (const Recipient& to : {Recipient(RsaRecipient{}), Recipient(EcRecipient{}), Recipient(foreign),
                              Recipient(RsaRecipient{PublicSpki(small.get()).value()})}) {
    CAPTURE(to.index());
    for (const KeySpec& spec : SpecsOn(*module)) {
      const auto generated = module->GenerateWrapped(spec, Recipients::kAny, &to);
      REQUIRE(generated.has_value());
      CHECK_FALSE(generated.value().delivered.has_value());
      const GeneratedKey& key = generated.value();
      CHECK(module->RewrapFor(to, key.wrapped, spec, key.public_key).has_error());
      CHECK(module->Reveal(key.wrapped, spec, key.public_key).has_value());
    }
  }
}

TEST_CASE("an AES key that the recipient opens is the one that Reveal shows") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  CheckDelivery(*module, {KeyKind::kAes, 16});
  CheckDelivery(*module, {KeyKind::kAes, 32});
}

TEST_CASE("a generic secret that the recipient opens is the one that Reveal shows") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  CheckDelivery(*module, {KeyKind::kGenericSecret, 32});
  CheckDelivery(*module, {KeyKind::kGenericSecret, 64});
}

TEST_CASE("an EC private key reaches its recipient, and fits the public key announced with it") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr || test::Lacks("wrap an EC private key", module->capabilities().wraps_ec)) return;
  const KeySpec spec{KeyKind::kEcPrivate, 0};
  CheckDelivery(*module, spec);
  const GeneratedKey generated = module->GenerateWrapped(spec).value();
  const SecretBytes pkcs8 = module->Reveal(generated.wrapped, spec, generated.public_key).value();
  const unsigned char* data = pkcs8.ExposeSecret().data();
  const PkeyPtr key(d2i_AutoPrivateKey(nullptr, &data, static_cast<long>(pkcs8.size())));
  REQUIRE(key != nullptr);
  CHECK(PublicSpki(key.get()).value() == generated.public_key);
}

TEST_CASE("a changed, cut or foreign blob is refused as kIntegrity, never opened as another key") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const RsaHolder rsa(*module->capabilities().oaep_hash);
  const KeySpec spec{KeyKind::kAes, 32};
  const WrappedKey good = module->GenerateWrapped(spec).value().wrapped;
  const auto refusal = [&](const WrappedKey& key) {
    const auto delivered = module->RewrapFor(rsa.recipient(), key, spec);
    return delivered.has_error() ? delivered.error().code : ErrorCode::kInternal;
  };
  for (std::size_t i = 0; i < good.bytes.size(); i += 7) {
    WrappedKey changed = good;
    changed.bytes[i] ^= 1U;
    CHECK(refusal(changed) == ErrorCode::kIntegrity);
  }
  WrappedKey cut = good;
  cut.bytes.resize(cut.bytes.size() - 8);
  CHECK(refusal(cut) == ErrorCode::kIntegrity);
  WrappedKey empty = good;
  empty.bytes.clear();
  CHECK(refusal(empty) == ErrorCode::kIntegrity);
  WrappedKey other_kek = good;
  other_kek.kek_generation = 9;
  CHECK(refusal(other_kek) == ErrorCode::kNotFound);
  // The token goes on after refusals.
  CHECK(module->RewrapFor(rsa.recipient(), good, spec).has_value());
}

TEST_CASE("a key specification that is none is refused before the token is asked") {
  const auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  CHECK(module->GenerateWrapped({KeyKind::kAes, 24}).error().code == ErrorCode::kInvalidArgument);
  CHECK(module->GenerateWrapped({KeyKind::kGenericSecret, 8}).error().code == ErrorCode::kInvalidArgument);
}

/// A wrapping mechanism that works here, be it only one without integrity: what follows an unwrap is the
/// same.
std::optional<CK_MECHANISM> AnyWrapping(Bytes& iv) {
  const Capabilities& can = test::ContractCapabilities();
  if (can.kwp_mechanism) return CK_MECHANISM{*can.kwp_mechanism, nullptr, 0};
  if (can.cbc_pad_wrap) return CK_MECHANISM{CKM_AES_CBC_PAD, iv.data(), iv.size()};
  return std::nullopt;
}

TEST_CASE("what is unwrapped reads back as sensitive, and extractable only where that was asked for") {
  Bytes iv(16, 9);
  std::optional<CK_MECHANISM> mechanism = AnyWrapping(iv);
  if (test::Lacks("wrap RFC 5649 (KWP), wrap AES-CBC-PAD", mechanism.has_value())) return;
  const auto token = Token::Open(test::ContractOptions(), test::ContractPin());
  REQUIRE(token.has_value());
  SessionLease lease = token.value()->Lease().value();
  const SessionObject kek =
      GenerateSecret(lease, CKM_AES_KEY_GEN,
                     SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true, .unwrap = true}),
                     32)
          .value();
  const SessionObject key =
      GenerateSecret(lease, CKM_AES_KEY_GEN, ValKeyTemplate({KeyKind::kAes, 32}), 32).value();
  const Bytes blob = Wrap(lease, &*mechanism, kek.handle(), key.handle()).value();
  for (const bool extractable : {false, true}) {
    CAPTURE(extractable);
    const auto back = Unwrap(lease, &*mechanism, kek.handle(), blob,
                             SecretKeyTemplate(CKK_AES, Lifetime::kSession, extractable, {}),
                             ProtectionOn(test::ContractCapabilities(), extractable));
    if (back.has_error()) {
      // A token that cannot be brought to it gives no key at all.
      CHECK(back.error().code == ErrorCode::kUnsupported);
      test::Lacks("SENSITIVE and EXTRACTABLE at unwrap", false);
      continue;
    }
    CHECK(ReadFlag(lease, back.value().handle(), CKA_SENSITIVE).value());
    CHECK(ReadFlag(lease, back.value().handle(), CKA_EXTRACTABLE).value() == extractable);
  }
}

}  // namespace
}  // namespace skms::hsm
