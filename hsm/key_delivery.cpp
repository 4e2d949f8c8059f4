// RewrapFor and its kin: from under the KEK to a recipient's key, without leaving the token.
#include "hsm/key_delivery.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "hsm/crypto_module_state.h"
#include "hsm/key_agreement.h"
#include "hsm/key_operations.h"
#include "hsm/openssl_agreement.h"
#include "hsm/strict_checks.h"

namespace skms::hsm {
namespace {

constexpr const char* kTransportKeyName = "A256KWP";

std::string OaepName(OaepHash hash) { return hash == OaepHash::kSha256 ? "RSA-OAEP-256" : "RSA-OAEP"; }

/// The hash that an "RSA-…" form was made with.
OaepHash HashOf(const std::string& alg) {
  return alg == OaepName(OaepHash::kSha256) || alg == RsaAesName(OaepHash::kSha256) ? OaepHash::kSha256
                                                                                    : OaepHash::kSha1;
}

Result<SessionObject> UnwrapUnderKek(SessionLease& lease, const OpenToken& open, CK_MECHANISM* kwp,
                                     const WrappedKey& key, AttributeTemplate attributes, bool extractable) {
  if (key.format != kFormatRfc5649) {
    return Error{ErrorCode::kNewerSchema,
                 "a key is wrapped in format '" + key.format + "', which this version cannot open"};
  }
  SKMS_TRY(const CK_OBJECT_HANDLE kek, open.keys.kek(key.kek_generation));
  return Unwrap(lease, kwp, kek, key.bytes, std::move(attributes),
                ProtectionOn(open.capabilities, extractable));
}

Result<CK_OBJECT_HANDLE> TrustedHandle(const OpenToken& open, const Recipient& recipient) {
  if (const auto* rsa = std::get_if<RsaRecipient>(&recipient)) return open.strict->Recipient(rsa->spki);
  return Error{
      ErrorCode::kRecipientNotTrusted,
      "only an RSA key can be marked TRUSTED; enrol one with skmsctl recipient add, and mark it with "
      "skmsctl recipient trust"};
}

Result<DeliveredKey> WrapToRsa(SessionLease& lease, const OpenToken& open, CK_MECHANISM* kwp, ByteView spki,
                               CK_OBJECT_HANDLE key, const KeySpec& spec) {
  const OaepHash hash = *open.capabilities.oaep_hash;
  SKMS_TRY(const RecipientKeys::InUse recipient, open.recipients->Use(spki));
  if (spec.kind == KeyKind::kEcPrivate) return WrapByRsaAes(lease, kwp, hash, recipient.handle(), key);
  DeliveredKey out;
  out.alg = OaepName(hash);
  OaepMechanism oaep(hash);
  SKMS_TRY(out.encrypted_key, Wrap(lease, oaep.get(), recipient.handle(), key));
  return out;
}

/// By a key that the token and the recipient agree on; no octet of it is seen here.
Result<DeliveredKey> WrapToEc(SessionLease& lease, CK_MECHANISM* kwp, const Capabilities& can, ByteView spki,
                              CK_OBJECT_HANDLE key) {
  SKMS_TRY(const EcPublicKey recipient, EcPublicKeyFromSpki(spki));
  if (!(recipient.curve == Curve::kP256 ? can.ecdh_kdf_p256 : can.ecdh_kdf_p384)) {
    return Error{ErrorCode::kUnsupported,
                 std::string("this token has no ECDH with the X9.63 KDF on ") + NameOf(recipient.curve) +
                     " (skmsctl token probe, row 'ECDH with KDF, " + NameOf(recipient.curve) +
                     "'): give an RSA public key or a transport key"};
  }
  SKMS_TRY(const DerivedKey agreed, DeriveForRecipient(lease, spki, AsBytes(kEcdhName)));
  DeliveredKey out;
  out.alg = std::string(kEcdhName);
  out.ephemeral_spki = agreed.ephemeral_spki;
  SKMS_TRY(out.encrypted_key, Wrap(lease, kwp, agreed.key.handle(), key));
  return out;
}

/// A key under a strict KEK goes to a TRUSTED key and nowhere else; were it asked for otherwise, the token
/// would refuse.
Result<DeliveredKey> RewrapToTrusted(const OpenToken& open, const Recipient& recipient,
                                     const WrappedKey& key) {
  SKMS_TRY(const CK_OBJECT_HANDLE to, TrustedHandle(open, recipient));
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  if (!open.capabilities.oaep_hash) return Error{ErrorCode::kUnsupported, "this token has no RSA-OAEP"};
  SKMS_TRY(const CK_OBJECT_HANDLE kek, open.strict->KekOf(key.kek_generation));
  SKMS_TRY(SessionLease lease, open.token->Lease());
  SKMS_TRY(const SessionObject target, UnwrapStrict(lease, &kwp, kek, key.bytes));
  DeliveredKey out;
  out.alg = OaepName(*open.capabilities.oaep_hash);
  OaepMechanism oaep(*open.capabilities.oaep_hash);
  SKMS_TRY(out.encrypted_key, Wrap(lease, oaep.get(), to, target.handle()));
  return out;
}

Result<DeliveredKey> Rewrap(const OpenToken& open, const Recipient& recipient, const WrappedKey& key,
                            const KeySpec& spec, ByteView public_key) {
  if (key.format == kFormatTrusted) return RewrapToTrusted(open, recipient, key);
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  SKMS_TRY(SessionLease lease, open.token->Lease());
  SKMS_TRY(AttributeTemplate attributes, UnwrapTemplate(spec, open.capabilities, public_key));
  SKMS_TRY(const SessionObject target, UnwrapUnderKek(lease, open, &kwp, key, std::move(attributes), true));
  return WrapToRecipient(lease, open, &kwp, recipient, target.handle(), spec);
}

bool CanDeliver(const KnownToken& known, const Recipient& recipient, const WrappedKey& key,
                const KeySpec& spec) {
  const Capabilities& can = known.capabilities;
  if (!HoldsKekOf(known, key)) return false;
  if (spec.kind == KeyKind::kEcPrivate && !can.wraps_ec) return false;
  if (const auto* transport = std::get_if<TransportKeyRecipient>(&recipient))
    return known.held.kek.count(transport->key.kek_generation) > 0;
  return !std::holds_alternative<EcRecipient>(recipient) || can.ecdh_kdf_p256 || can.ecdh_kdf_p384;
}

Result<WrappedKey> Admit(const OpenToken& open, const TokenKeyGenerations& use, OaepHash hash,
                         ByteView oaep_block) {
  constexpr std::size_t kWrappedAes256Bytes = 40;  // RFC 5649 of 32 bytes
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  SKMS_TRY(const CK_OBJECT_HANDLE kek, open.keys.kek(use.kek));
  SKMS_TRY(const CK_OBJECT_HANDLE transfer, open.keys.transfer_private(use.transfer));
  SKMS_TRY(SessionLease lease, open.token->Lease());
  OaepMechanism oaep(hash);
  auto admitted = Unwrap(lease, oaep.get(), transfer, oaep_block,
                         SecretKeyTemplate(CKK_AES, Lifetime::kSession, true, {.wrap = true}),
                         ProtectionOn(open.capabilities, true));
  if (admitted.has_error()) {
    Error error = admitted.error();
    if (error.code == ErrorCode::kIntegrity) {
      error.code = ErrorCode::kInvalidArgument;
      error.detail =
          "the transport key does not decrypt under our transfer key; fetch the transfer key again";
    }
    return error;
  }
  WrappedKey out;
  out.kek_generation = use.kek;
  SKMS_TRY(out.bytes, Wrap(lease, &kwp, kek, admitted.value().handle()));
  // Not every token tells the length of an unwrapped key; its wrapped form does.
  if (out.bytes.size() != kWrappedAes256Bytes)
    return InvalidArgument("a transport key has 32 bytes (AES-256)");
  return out;
}

}  // namespace

Result<DeliveredKey> WrapToRecipient(SessionLease& lease, const OpenToken& open, CK_MECHANISM* kwp,
                                     const Recipient& recipient, CK_OBJECT_HANDLE key, const KeySpec& spec) {
  if (const auto* rsa = std::get_if<RsaRecipient>(&recipient)) {
    if (!open.capabilities.oaep_hash) return Error{ErrorCode::kUnsupported, "this token has no RSA-OAEP"};
    return WrapToRsa(lease, open, kwp, rsa->spki, key, spec);
  }
  if (const auto* ec = std::get_if<EcRecipient>(&recipient))
    return WrapToEc(lease, kwp, open.capabilities, ec->spki, key);
  const WrappedKey& transport = std::get<TransportKeyRecipient>(recipient).key;
  SKMS_TRY(const SessionObject with,
           UnwrapUnderKek(lease, open, kwp, transport,
                          SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true}), false));
  DeliveredKey out;
  out.alg = kTransportKeyName;
  SKMS_TRY(out.encrypted_key, Wrap(lease, kwp, with.handle(), key));
  return out;
}

Result<DeliveredKey> CryptoModule::RewrapFor(const Recipient& recipient, const WrappedKey& key,
                                             const KeySpec& spec, ByteView public_key) {
  const auto can = [&](const KnownToken& known) { return CanDeliver(known, recipient, key, spec); };
  return state_->Run(can,
                     [&](const OpenToken& open) { return Rewrap(open, recipient, key, spec, public_key); });
}

Status CryptoModule::CheckTrusted(const Recipient& recipient) {
  SKMS_TRYV(state_->Run(HasStrictKek, [&](const OpenToken& open) { return TrustedHandle(open, recipient); }));
  return Ok();
}

Result<WrappedKey> CryptoModule::AdmitTransportKey(ByteView oaep_block) {
  const TokenKeyGenerations use = state_->use();
  SKMS_TRY(const OaepHash hash, state_->CommonOaep());
  const auto can = [&](const KnownToken& known) {
    return known.held.kek.count(use.kek) > 0 && known.held.transfer.count(use.transfer) > 0;
  };
  return state_->Run(can, [&](const OpenToken& open) { return Admit(open, use, hash, oaep_block); });
}

std::vector<std::string> CryptoModule::wrapping_algorithms() const {
  std::vector<std::string> names;
  const auto add = [&](std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  };
  for (const auto& keeper : state_->tokens().keepers()) {
    const std::optional<KnownToken> known = keeper->known();
    if (!known) continue;
    const Capabilities& can = known->capabilities;
    if (can.oaep_hash) add(OaepName(*can.oaep_hash));
    if (can.oaep_hash && can.kwp_mechanism) add(RsaAesName(*can.oaep_hash));
    if (can.kwp_mechanism) add(kTransportKeyName);
    if (can.ecdh_kdf_p256 || can.ecdh_kdf_p384) add(std::string(kEcdhName));
  }
  return names;
}

Result<EVP_PKEY*> CryptoModule::State::RevealKey() {
  const std::lock_guard lock(reveal_mutex_);
  if (!reveal_key_) {
    SKMS_TRY(reveal_key_, GenerateRsa());
  }
  return reveal_key_.get();
}

// By way of a recipient key of our own: works on every token, also on those that let nothing be read.
Result<SecretBytes> CryptoModule::Reveal(const WrappedKey& key, const KeySpec& spec, ByteView public_key) {
  if (key.format == kFormatTrusted)
    return Error{ErrorCode::kRecipientNotTrusted, "a key for TRUSTED recipients is never shown in plaintext"};
  SKMS_TRY(EVP_PKEY * own, state_->RevealKey());
  SKMS_TRY(Bytes spki, PublicSpki(own));
  SKMS_TRY(const DeliveredKey delivered, RewrapFor(RsaRecipient{std::move(spki)}, key, spec, public_key));
  SKMS_TRY(SecretBytes block, OaepDecrypt(own, HashOf(delivered.alg), delivered.encrypted_key));
  if (delivered.wrapped_key.empty()) return block;
  return UnwrapRfc5649(block.ExposeSecret(), delivered.wrapped_key);
}

}  // namespace skms::hsm
