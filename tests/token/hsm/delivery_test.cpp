// Every kind of key to every kind of recipient, opened by OpenSSL, which knows nothing of the token.
#include <doctest/doctest.h>
#include <openssl/ec.h>

#include <atomic>
#include <thread>

#include "hsm/crypto_module.h"
#include "hsm/openssl_keys.h"
#include "tests/token/hsm/oaep_encrypt.h"
#include "tests/token/soft_token.h"

namespace skms::hsm {
namespace {

using test::SoftToken;

const KeySpec kSpecs[] = {
    {KeyKind::kAes, 16}, {KeyKind::kAes, 32}, {KeyKind::kGenericSecret, 32}, {KeyKind::kEcPrivate, 0}};

struct RsaPair {
  PkeyPtr key = GenerateRsa().value();
  Recipient recipient = RsaRecipient{PublicSpki(key.get()).value()};
};

/// What the recipient gets out of `delivered` with the RSA private key.
SecretBytes Open(const RsaPair& rsa, const DeliveredKey& delivered) {
  auto block = OaepDecrypt(rsa.key.get(), OaepHash::kSha1, delivered.encrypted_key);
  REQUIRE(block.has_value());
  if (delivered.wrapped_key.empty()) return std::move(block).value();
  auto key = UnwrapRfc5649(block.value().ExposeSecret(), delivered.wrapped_key);
  REQUIRE(key.has_value());
  return std::move(key).value();
}

TEST_CASE("what the recipient opens is what Reveal shows, for every kind of key") {
  const SoftToken token;
  const auto module = token.Provision();
  const RsaPair rsa;
  for (const KeySpec& spec : kSpecs) {
    CAPTURE(static_cast<int>(spec.kind));
    const auto generated = module->GenerateWrapped(spec);
    REQUIRE(generated.has_value());
    CHECK(generated.value().wrapped.format == "RFC5649");
    CHECK(generated.value().wrapped.kek_generation == 1);
    const auto delivered = module->RewrapFor(rsa.recipient, generated.value().wrapped, spec);
    REQUIRE(delivered.has_value());
    const bool private_key = spec.kind == KeyKind::kEcPrivate;
    CHECK(delivered.value().alg == (private_key ? "RSA-AES-KWP" : "RSA-OAEP"));
    const SecretBytes opened = Open(rsa, delivered.value());
    const auto revealed = module->Reveal(generated.value().wrapped, spec);
    REQUIRE(revealed.has_value());
    CHECK(ConstantTimeEqual(opened.ExposeSecret(), revealed.value().ExposeSecret()));
    if (!private_key) CHECK(opened.size() == spec.bytes);
  }
}

TEST_CASE("an EC private key fits the public key that was announced with it") {
  const SoftToken token;
  const auto module = token.Provision();
  const KeySpec spec{KeyKind::kEcPrivate, 0};
  const GeneratedKey generated = module->GenerateWrapped(spec).value();
  const SecretBytes pkcs8 = module->Reveal(generated.wrapped, spec).value();
  const unsigned char* data = pkcs8.ExposeSecret().data();
  const PkeyPtr key(d2i_AutoPrivateKey(nullptr, &data, static_cast<long>(pkcs8.size())));
  REQUIRE(key != nullptr);
  CHECK(PublicSpki(key.get()).value() == generated.public_key);
}

TEST_CASE("a transport key comes in encrypted and then opens what is delivered under it") {
  const SoftToken token;
  const auto module = token.Provision();
  const Bytes transport(32, 0x77);
  const auto admitted =
      module->AdmitTransportKey(OaepEncrypt(module->TransferPublicKey().value(), transport));
  REQUIRE(admitted.has_value());
  for (const KeySpec& spec : kSpecs) {
    const GeneratedKey generated = module->GenerateWrapped(spec).value();
    const auto delivered =
        module->RewrapFor(TransportKeyRecipient{admitted.value()}, generated.wrapped, spec);
    REQUIRE(delivered.has_value());
    CHECK(delivered.value().alg == "A256KWP");
    const auto opened = UnwrapRfc5649(transport, delivered.value().encrypted_key);
    REQUIRE(opened.has_value());
    CHECK(ConstantTimeEqual(opened.value().ExposeSecret(),
                            module->Reveal(generated.wrapped, spec).value().ExposeSecret()));
  }
}

TEST_CASE("a transport key of another length, or not for us, is refused") {
  const SoftToken token;
  const auto module = token.Provision();
  const Bytes spki = module->TransferPublicKey().value();
  CHECK(module->AdmitTransportKey(OaepEncrypt(spki, Bytes(16, 1))).error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(module->AdmitTransportKey(Bytes(384, 1)).error().code == ErrorCode::kInvalidArgument);
  CHECK(module->AdmitTransportKey({}).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("a changed, cut, foreign or mislabelled blob is refused, never opened as another key") {
  const SoftToken token;
  const auto module = token.Provision();
  const RsaPair rsa;
  const KeySpec spec{KeyKind::kAes, 32};
  const WrappedKey good = module->GenerateWrapped(spec).value().wrapped;
  for (std::size_t i = 0; i < good.bytes.size(); i += 7) {
    WrappedKey changed = good;
    changed.bytes[i] ^= 1;
    CHECK(module->RewrapFor(rsa.recipient, changed, spec).error().code == ErrorCode::kIntegrity);
  }
  WrappedKey cut = good;
  cut.bytes.resize(cut.bytes.size() - 8);
  CHECK(module->RewrapFor(rsa.recipient, cut, spec).error().code == ErrorCode::kIntegrity);
  WrappedKey empty = good;
  empty.bytes.clear();
  CHECK(module->RewrapFor(rsa.recipient, empty, spec).error().code == ErrorCode::kIntegrity);
  WrappedKey other_kek = good;
  other_kek.kek_generation = 9;
  CHECK(module->RewrapFor(rsa.recipient, other_kek, spec).error().code == ErrorCode::kNotFound);
  WrappedKey other_format = good;
  other_format.format = "CBC";
  CHECK(module->RewrapFor(rsa.recipient, other_format, spec).error().code == ErrorCode::kNewerSchema);
  CHECK(module->RewrapFor(rsa.recipient, good, spec).has_value());
}

TEST_CASE("a recipient key that is none, too short, or has a weak exponent is refused") {
  const SoftToken token;
  const auto module = token.Provision();
  const KeySpec spec{KeyKind::kAes, 32};
  const WrappedKey key = module->GenerateWrapped(spec).value().wrapped;
  const auto refuse = [&](Bytes spki) {
    return module->RewrapFor(RsaRecipient{std::move(spki)}, key, spec).error().code ==
           ErrorCode::kInvalidArgument;
  };
  CHECK(refuse({}));
  CHECK(refuse(Bytes(100, 0x30)));
  const PkeyPtr small(EVP_RSA_gen(1024));
  CHECK(refuse(PublicSpki(small.get()).value()));
  const PkeyPtr ec(EVP_EC_gen("P-256"));
  CHECK(refuse(PublicSpki(ec.get()).value()));
  CHECK(refuse(RsaSpkiFromNumbers(Bytes(256, 0xFF), Bytes{3}).value()));
  Bytes trailing = PublicSpki(RsaPair().key.get()).value();
  trailing.push_back(0);
  CHECK(refuse(trailing));
}

TEST_CASE("two sessions serve thirty-two threads, and leave no object behind") {
  const SoftToken token;
  TokenOptions options = token.options();
  options.max_sessions = 2;
  options.session_wait = std::chrono::minutes(1);
  token.Provision();
  const auto module = std::move(CryptoModule::Open(options, token.pin_source())).value();
  const RsaPair rsa;
  const KeySpec spec{KeyKind::kAes, 32};
  std::atomic<int> delivered{0};
  std::vector<std::thread> threads;
  threads.reserve(32);
  for (int i = 0; i < 32; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 7; ++round) {
        const auto generated = module->GenerateWrapped(spec);
        if (generated.has_value() &&
            module->RewrapFor(rsa.recipient, generated.value().wrapped, spec).has_value()) {
          ++delivered;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(delivered == 32 * 7);
  CHECK(module->session_use().leased == 0);
  CHECK(module->session_use().limit == 2);
}

}  // namespace
}  // namespace skms::hsm
