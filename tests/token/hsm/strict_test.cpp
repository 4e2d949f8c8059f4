// Strict recipients: what the security officer makes, and what a CryptoModule does with it.
#include <doctest/doctest.h>

#include "hsm/strict_objects.h"
#include "hsm/strict_template.h"
#include "hsm/token_keys.h"
#include "tests/token/hsm/oaep_encrypt.h"
#include "tests/token/hsm/officer.h"

namespace skms::hsm {
namespace {

using test::Holder;
using test::OfficerPin;
using test::OfficerToken;
using test::SoftToken;

const KeySpec kSecrets[] = {{KeyKind::kAes, 16}, {KeyKind::kAes, 32}, {KeyKind::kGenericSecret, 32}};

TEST_CASE("a strict key goes to TRUSTED recipients, whole and each time the same, and to nobody else") {
  const OfficerToken token;
  const Holder trusted;
  const Holder other_trusted;
  const Holder stranger;
  token.Trust(trusted);
  token.Trust(other_trusted);
  const auto module = token.Open();
  CHECK(module->ViewStrict().value().kek == 1);
  CHECK(module->ViewStrict().value().recipients == 2);
  CHECK(module->CheckStrict().has_value());
  for (const KeySpec& spec : kSecrets) {
    CAPTURE(spec.bytes);
    const auto generated = module->GenerateWrapped(spec, Recipients::kTrusted);
    REQUIRE(generated.has_value());
    const WrappedKey& wrapped = generated.value().wrapped;
    CHECK(wrapped.format == "RFC5649-TRUSTED");
    CHECK(wrapped.kek_generation == 1);
    const auto delivered = module->RewrapFor(trusted.recipient, wrapped, spec);
    REQUIRE(delivered.has_value());
    CHECK(delivered.value().alg == "RSA-OAEP");
    const SecretBytes key = trusted.Open(delivered.value());
    CHECK(key.size() == spec.bytes);
    const SecretBytes same =
        other_trusted.Open(module->RewrapFor(other_trusted.recipient, wrapped, spec).value());
    CHECK(ConstantTimeEqual(key.ExposeSecret(), same.ExposeSecret()));
    CHECK(module->RewrapFor(stranger.recipient, wrapped, spec).error().code ==
          ErrorCode::kRecipientNotTrusted);
    CHECK(module->Reveal(wrapped, spec).error().code == ErrorCode::kRecipientNotTrusted);
  }
  CHECK(module->CheckTrusted(trusted.recipient).has_value());
  CHECK(module->CheckTrusted(stranger.recipient).error().code == ErrorCode::kRecipientNotTrusted);
  CHECK(module->CheckTrusted(RsaRecipient{Bytes(20, 0x30)}).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("two keys made for TRUSTED recipients differ, and a changed blob is refused") {
  const OfficerToken token;
  const Holder trusted;
  token.Trust(trusted);
  const auto module = token.Open();
  const KeySpec spec{KeyKind::kAes, 32};
  const WrappedKey one = module->GenerateWrapped(spec, Recipients::kTrusted).value().wrapped;
  const WrappedKey two = module->GenerateWrapped(spec, Recipients::kTrusted).value().wrapped;
  CHECK_FALSE(ConstantTimeEqual(
      trusted.Open(module->RewrapFor(trusted.recipient, one, spec).value()).ExposeSecret(),
      trusted.Open(module->RewrapFor(trusted.recipient, two, spec).value()).ExposeSecret()));
  WrappedKey changed = one;
  changed.bytes[9] ^= 1U;
  CHECK(module->RewrapFor(trusted.recipient, changed, spec).error().code == ErrorCode::kIntegrity);
  // Under the other KEK it is no key at all: the format says which one, and the token agrees.
  WrappedKey relabelled = one;
  relabelled.format = "RFC5649";
  CHECK(module->RewrapFor(trusted.recipient, relabelled, spec).error().code == ErrorCode::kIntegrity);
  WrappedKey later = one;
  later.kek_generation = 2;
  CHECK(module->RewrapFor(trusted.recipient, later, spec).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("transport keys and EC keys get no strict key, and no EC key is made strict") {
  const OfficerToken token;
  const auto module = token.Open();
  const KeySpec spec{KeyKind::kAes, 32};
  const WrappedKey wrapped = module->GenerateWrapped(spec, Recipients::kTrusted).value().wrapped;
  const auto admitted =
      module->AdmitTransportKey(OaepEncrypt(module->TransferPublicKey().value(), Bytes(32, 0x77)));
  const Recipient transport = TransportKeyRecipient{admitted.value()};
  CHECK(module->RewrapFor(transport, wrapped, spec).error().code == ErrorCode::kRecipientNotTrusted);
  CHECK(module->RewrapContentKey(transport, wrapped).error().code == ErrorCode::kRecipientNotTrusted);
  CHECK(module->CheckTrusted(transport).error().code == ErrorCode::kRecipientNotTrusted);
  CHECK(module->CheckTrusted(EcRecipient{}).error().code == ErrorCode::kRecipientNotTrusted);
  CHECK(module->GenerateWrapped({KeyKind::kEcPrivate, 0}, Recipients::kTrusted).error().code ==
        ErrorCode::kUnsupported);
  // Nor is it wrapped to one of them while it is made.
  const auto made_for = module->GenerateWrapped(spec, Recipients::kTrusted, &transport);
  REQUIRE(made_for.has_value());
  CHECK(made_for.value().wrapped.format == kFormatTrusted);
  CHECK_FALSE(made_for.value().delivered.has_value());
}

TEST_CASE("a strict payload is opened by a TRUSTED recipient alone") {
  const OfficerToken token;
  const Holder trusted;
  const Holder stranger;
  token.Trust(trusted);
  const auto module = token.Open();
  const Bytes plain(100, 0x42);
  const Bytes aad{1, 2, 3};
  const SealedPayload sealed = module->Seal(plain, aad, Recipients::kTrusted).value();
  CHECK(sealed.key.format == "RFC5649-TRUSTED");
  const SecretBytes key = trusted.Open(module->RewrapContentKey(trusted.recipient, sealed.key).value());
  CHECK(GcmEncrypt(key.ExposeSecret(), sealed.nonce, aad, plain).value() == sealed.ciphertext);
  CHECK(module->RewrapContentKey(stranger.recipient, sealed.key).error().code ==
        ErrorCode::kRecipientNotTrusted);
  CHECK(module->Unseal(sealed, aad).error().code == ErrorCode::kRecipientNotTrusted);
}

TEST_CASE("without a strict KEK no strict key is made, and the words say who makes one") {
  const SoftToken token;
  const auto module = token.Provision();
  CHECK(module->capabilities().enforces_trusted);
  const Status can = module->CheckStrict();
  REQUIRE(can.has_error());
  CHECK(can.error().code == ErrorCode::kUnsupported);
  CHECK(can.error().detail.find("skmsctl token make-strict-kek") != std::string::npos);
  CHECK(module->GenerateWrapped({KeyKind::kAes, 32}, Recipients::kTrusted).error().code ==
        ErrorCode::kUnsupported);
  CHECK(module->Seal(Bytes(3, 1), {}, Recipients::kTrusted).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("a next strict KEK takes new keys, and the former one still opens what it has") {
  const OfficerToken token;
  const Holder trusted;
  token.Trust(trusted);
  const KeySpec spec{KeyKind::kAes, 32};
  WrappedKey former;
  {
    const auto module = token.Open();
    former = module->GenerateWrapped(spec, Recipients::kTrusted).value().wrapped;
  }
  CHECK(MakeStrictKek(token.options(), token.pin(), OfficerPin(), false).error().code ==
        ErrorCode::kAlreadyExists);
  CHECK(MakeStrictKek(token.options(), token.pin(), OfficerPin(), true).value() == 2);
  const auto module = token.Open();
  CHECK(module->GenerateWrapped(spec, Recipients::kTrusted).value().wrapped.kek_generation == 2);
  CHECK(module->RewrapFor(trusted.recipient, former, spec).has_value());
  // The KEKs of other services are others.
  CHECK(module->generations().kek == 1);
}

TEST_CASE("the officer trusts a key once, takes it back once, and never one of the token's own") {
  const OfficerToken token;
  const Holder holder;
  CHECK(DistrustRecipient(token.options(), OfficerPin(), holder.spki).error().code == ErrorCode::kNotFound);
  token.Trust(holder);
  CHECK(TrustRecipient(token.options(), OfficerPin(), holder.spki).error().code == ErrorCode::kAlreadyExists);
  CHECK(DistrustRecipient(token.options(), OfficerPin(), holder.spki).has_value());
  CHECK(token.Open()->CheckTrusted(holder.recipient).error().code == ErrorCode::kRecipientNotTrusted);
  token.Trust(holder);
  const Bytes transfer = token.Open()->TransferPublicKey().value();
  const Status own = TrustRecipient(token.options(), OfficerPin(), transfer);
  REQUIRE(own.has_error());
  CHECK(own.error().code == ErrorCode::kConflict);
  CHECK(own.error().detail.find("skms-transfer-1") != std::string::npos);
  CHECK(TrustRecipient(token.options(), OfficerPin(), Bytes(30, 1)).error().code ==
        ErrorCode::kInvalidArgument);
}

TEST_CASE("a wrong officer's PIN is told, and nothing is made") {
  const SoftToken token;
  token.Provision();
  const SecretBytes wrong = SecretBytes::CopyOf(AsBytes("99999999"));
  const auto refused = MakeStrictKek(token.options(), token.pin(), wrong, false);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::kPinIncorrect);
  CHECK(refused.error().detail.find("security officer's PIN") != std::string::npos);
  CHECK(MakeStrictKek(token.options(), wrong, OfficerPin(), false).error().code == ErrorCode::kPinIncorrect);
  CHECK(MakeStrictKek(token.options(), token.pin(), OfficerPin(), false).value() == 1);
}

TEST_CASE("the strict KEK and a recipient read back from the token as docs/token-attributes.md has them") {
  const OfficerToken token;
  const Holder holder;
  token.Trust(holder);
  const test::RawSession raw;
  const std::string kek = "skms-strict-kek-1";
  REQUIRE(raw.Count(kek, CKO_SECRET_KEY) == 1);
  for (const CK_ATTRIBUTE_TYPE yes :
       {CKA_TOKEN, CKA_SENSITIVE, CKA_TRUSTED, CKA_WRAP, CKA_UNWRAP, CKA_LOCAL, CKA_NEVER_EXTRACTABLE}) {
    CAPTURE(yes);
    CHECK(raw.Flag(kek, CKO_SECRET_KEY, yes));
  }
  for (const CK_ATTRIBUTE_TYPE no :
       {CKA_PRIVATE, CKA_EXTRACTABLE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_ENCRYPT, CKA_DECRYPT,
        CKA_SIGN, CKA_VERIFY, CKA_DERIVE}) {
    CAPTURE(no);
    CHECK_FALSE(raw.Flag(kek, CKO_SECRET_KEY, no));
  }
  const std::string recipient = TrustedRecipientLabel(TrustedRecipientDigest(holder.spki).value());
  REQUIRE(raw.Count(recipient, CKO_PUBLIC_KEY) == 1);
  for (const CK_ATTRIBUTE_TYPE yes : {CKA_TOKEN, CKA_TRUSTED, CKA_WRAP, CKA_DESTROYABLE}) {
    CAPTURE(yes);
    CHECK(raw.Flag(recipient, CKO_PUBLIC_KEY, yes));
  }
  for (const CK_ATTRIBUTE_TYPE no :
       {CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_ENCRYPT, CKA_VERIFY, CKA_DERIVE}) {
    CAPTURE(no);
    CHECK_FALSE(raw.Flag(recipient, CKO_PUBLIC_KEY, no));
  }
}

}  // namespace
}  // namespace skms::hsm
