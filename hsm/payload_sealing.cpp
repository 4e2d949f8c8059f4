// Seal and its kin: payloads that VAL servers provision, encrypted in the token under keys that never leave
// it but wrapped.
#include <utility>

#include "hsm/crypto_module_state.h"
#include "hsm/key_operations.h"
#include "hsm/payload_cipher.h"
#include "hsm/strict_template.h"

namespace skms::hsm {
namespace {

constexpr const char* kContentKeyWrap = "A256KW";

Status NeedGcm(const Capabilities& capabilities) {
  if (capabilities.aes_gcm) return Ok();
  return Error{ErrorCode::kUnsupported,
               "this token has no AES-GCM, so it cannot keep payloads; see: skmsctl token probe"};
}

AttributeTemplate ContentKeyTemplate(bool extractable, const KeyUsage& usage) {
  return SecretKeyTemplate(CKK_AES, Lifetime::kSession, extractable, usage);
}

Result<SessionObject> UnwrapContentKey(SessionLease& lease, const OpenToken& open, const WrappedKey& key,
                                       bool extractable, const KeyUsage& usage) {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  if (key.format != kFormatRfc5649)
    return Error{ErrorCode::kNewerSchema,
                 "a content key is wrapped in format '" + key.format + "', which this version cannot open"};
  SKMS_TRY(const CK_OBJECT_HANDLE kek, open.keys.kek(key.kek_generation));
  return Unwrap(lease, &kwp, kek, key.bytes, ContentKeyTemplate(extractable, usage),
                ProtectionOn(open.capabilities, extractable));
}

Result<SealedPayload> SealIn(const OpenToken& open, std::uint32_t generation, ByteView plain, ByteView aad,
                             Recipients recipients) {
  SKMS_TRYV(NeedGcm(open.capabilities));
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  const bool strict = recipients == Recipients::kTrusted;
  StrictObjects::Kek kek{generation, CK_INVALID_HANDLE};
  if (strict) {
    SKMS_TRY(kek, open.strict->NewestKek());
  } else {
    SKMS_TRY(kek.handle, open.keys.kek(generation));
  }
  SealedPayload out;
  SKMS_TRY(SessionLease lease, open.token->Lease());
  SKMS_TRY(out.nonce, RandomOctets(lease, kGcmNonceBytes));
  SKMS_TRY(
      const SessionObject key,
      GenerateSecret(lease, CKM_AES_KEY_GEN,
                     strict ? StrictContentKeyTemplate() : ContentKeyTemplate(true, {.encrypt = true}), 32));
  SKMS_TRY(out.ciphertext,
           EncryptGcm(lease, open.capabilities.gcm_layout, key.handle(), out.nonce, aad, plain));
  out.key.kek_generation = kek.generation;
  if (strict) out.key.format = kFormatTrusted;
  SKMS_TRY(out.key.bytes, Wrap(lease, &kwp, kek.handle, key.handle()));
  return out;
}

Result<SecretBytes> UnsealIn(const OpenToken& open, const SealedPayload& sealed, ByteView aad) {
  if (sealed.key.format == kFormatTrusted)
    return Error{ErrorCode::kRecipientNotTrusted,
                 "a payload for TRUSTED recipients is never shown in plaintext"};
  SKMS_TRYV(NeedGcm(open.capabilities));
  SKMS_TRY(SessionLease lease, open.token->Lease());
  SKMS_TRY(const SessionObject key, UnwrapContentKey(lease, open, sealed.key, false, {.decrypt = true}));
  return DecryptGcm(lease, open.capabilities.gcm_layout, key.handle(), sealed.nonce, aad, sealed.ciphertext);
}

Result<DeliveredKey> RewrapContent(const OpenToken& open, const WrappedKey& transport,
                                   const WrappedKey& key) {
  // JOSE knows RFC 3394 alone, and a content key of 32 octets needs no padding.
  if (!open.capabilities.aes_key_wrap) {
    return Error{ErrorCode::kInvalidArgument,
                 "this token cannot wrap by RFC 3394 (A256KW) to a transport key; enrol an RSA key"};
  }
  SKMS_TRY(SessionLease lease, open.token->Lease());
  SKMS_TRY(const SessionObject with, UnwrapContentKey(lease, open, transport, false, {.wrap = true}));
  SKMS_TRY(const SessionObject target, UnwrapContentKey(lease, open, key, true, {}));
  CK_MECHANISM wrap{CKM_AES_KEY_WRAP, nullptr, 0};
  DeliveredKey out;
  out.alg = kContentKeyWrap;
  SKMS_TRY(out.encrypted_key, Wrap(lease, &wrap, with.handle(), target.handle()));
  return out;
}

/// `use.transfer` is the generation that it was sent to.
Result<SecretBytes> OpenTransferred(const OpenToken& open, const TokenKeyGenerations& use, OaepHash hash,
                                    const TransferredPayload& sent) {
  SKMS_TRYV(NeedGcm(open.capabilities));
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  SKMS_TRY(const CK_OBJECT_HANDLE kek, open.keys.kek(use.kek));
  SKMS_TRY(const CK_OBJECT_HANDLE transfer, open.keys.transfer_private(use.transfer));
  SKMS_TRY(SessionLease lease, open.token->Lease());
  auto plain = [&]() -> Result<SecretBytes> {
    OaepMechanism oaep(hash);
    SKMS_TRY(const SessionObject key,
             Unwrap(lease, oaep.get(), transfer, sent.encrypted_key,
                    ContentKeyTemplate(true, {.decrypt = true}), ProtectionOn(open.capabilities, true)));
    // A256GCM means 32 octets; not every token tells the length of an unwrapped key, its wrapped form does.
    constexpr std::size_t kWrappedAes256Bytes = 40;
    SKMS_TRY(const Bytes wrapped, Wrap(lease, &kwp, kek, key.handle()));
    if (wrapped.size() != kWrappedAes256Bytes) return IntegrityError("a content key of another length");
    return DecryptGcm(lease, open.capabilities.gcm_layout, key.handle(), sent.nonce, sent.aad,
                      sent.ciphertext);
  }();
  if (plain.has_error() && plain.error().code == ErrorCode::kIntegrity) {
    // One text for a wrong key and a wrong tag: whoever sends it learns nothing about which.
    return InvalidArgument("it does not decrypt under our transfer key; fetch the published key again");
  }
  return plain;
}

auto SealingUnder(std::uint32_t generation) {
  return [generation](const KnownToken& known) {
    return known.capabilities.aes_gcm && known.held.kek.count(generation) > 0;
  };
}

}  // namespace

Result<SealedPayload> CryptoModule::Seal(ByteView plain, ByteView aad, Recipients recipients) {
  const std::uint32_t generation = state_->use().kek;
  const bool strict = recipients == Recipients::kTrusted;
  const auto can = [&](const KnownToken& known) {
    return strict ? known.capabilities.aes_gcm && HasStrictKek(known) : SealingUnder(generation)(known);
  };
  return state_->Run(can,
                     [&](const OpenToken& open) { return SealIn(open, generation, plain, aad, recipients); });
}

Result<SecretBytes> CryptoModule::Unseal(const SealedPayload& sealed, ByteView aad) {
  return state_->Run(SealingUnder(sealed.key.kek_generation),
                     [&](const OpenToken& open) { return UnsealIn(open, sealed, aad); });
}

Result<DeliveredKey> CryptoModule::RewrapContentKey(const Recipient& recipient, const WrappedKey& key) {
  if (std::holds_alternative<EcRecipient>(recipient)) {
    return Error{ErrorCode::kUnsupported,
                 "no token derives keys as the ECDH-ES of JOSE does, so no payload goes to an EC recipient: "
                 "give an RSA public key or a transport key"};
  }
  const auto* transport = std::get_if<TransportKeyRecipient>(&recipient);
  // By RSA-OAEP, or not at all.
  if (transport == nullptr || key.format == kFormatTrusted)
    return RewrapFor(recipient, key, {KeyKind::kAes, 32});
  const auto can = [&](const KnownToken& known) {
    return known.capabilities.aes_key_wrap && known.held.kek.count(key.kek_generation) > 0 &&
           known.held.kek.count(transport->key.kek_generation) > 0;
  };
  return state_->Run(can, [&](const OpenToken& open) { return RewrapContent(open, transport->key, key); });
}

Result<SecretBytes> CryptoModule::OpenForTransfer(const TransferredPayload& sent) {
  TokenKeyGenerations use = state_->use();
  if (sent.generation != 0) use.transfer = sent.generation;
  SKMS_TRY(const OaepHash hash, state_->CommonOaep());
  const auto can = [&](const KnownToken& known) {
    return SealingUnder(use.kek)(known) && known.held.transfer.count(use.transfer) > 0;
  };
  return state_->Run(can, [&](const OpenToken& open) { return OpenTransferred(open, use, hash, sent); });
}

}  // namespace skms::hsm
