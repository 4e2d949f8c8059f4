// GenerateWrapped: a VAL key is born in the token and leaves it only as ciphertext, under the KEK and to whom
// it is made for.
#include "hsm/crypto_module_state.h"
#include "hsm/key_delivery.h"
#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/openssl_agreement.h"
#include "hsm/strict_checks.h"

namespace skms::hsm {
namespace {

Status CheckSpec(const KeySpec& spec) {
  const bool aes = spec.kind == KeyKind::kAes && (spec.bytes == 16 || spec.bytes == 32);
  const bool secret = spec.kind == KeyKind::kGenericSecret && spec.bytes >= 16 && spec.bytes <= 128;
  if (aes || secret || spec.kind == KeyKind::kEcPrivate) return Ok();
  return InvalidArgument("no such key: AES has 16 or 32 bytes, a generic secret 16 to 128");
}

/// Under the strict KEK, as a generic secret: of an AES key, only its octets leave the token.
Result<GeneratedKey> GenerateForTrusted(const OpenToken& open, const KeySpec& spec) {
  if (spec.kind == KeyKind::kEcPrivate) {
    return Error{
        ErrorCode::kUnsupported,
        "an EC private key goes out under a fresh AES key, which is not TRUSTED; strict recipients are "
        "for secret keys"};
  }
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  SKMS_TRY(const StrictObjects::Kek kek, open.strict->NewestKek());
  SKMS_TRY(SessionLease lease, open.token->Lease());
  GeneratedKey out;
  out.wrapped.kek_generation = kek.generation;
  out.wrapped.format = kFormatTrusted;
  SKMS_TRY(const SessionObject key, GenerateStrict(lease, spec.bytes));
  SKMS_TRY(out.wrapped.bytes, Wrap(lease, &kwp, kek.handle, key.handle()));
  return out;
}

/// No reason not to have a key that is wrapped under the KEK already: RewrapFor tries anew, and tells.
std::optional<DeliveredKey> TryDeliver(SessionLease& lease, const OpenToken& open, CK_MECHANISM* kwp,
                                       const Recipient* to, CK_OBJECT_HANDLE key, const KeySpec& spec) {
  if (to == nullptr) return std::nullopt;
  auto delivered = WrapToRecipient(lease, open, kwp, *to, key, spec);
  return delivered.has_value() ? std::optional(std::move(delivered).value()) : std::nullopt;
}

Result<GeneratedKey> Generate(const OpenToken& open, std::uint32_t generation, const KeySpec& spec,
                              const Recipient* to) {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  SKMS_TRY(const CK_OBJECT_HANDLE kek, open.keys.kek(generation));
  SKMS_TRY(SessionLease lease, open.token->Lease());
  GeneratedKey out;
  out.wrapped.kek_generation = generation;
  if (spec.kind == KeyKind::kEcPrivate) {
    SKMS_TRY(const KeyPair pair, GenerateP256(lease, Lifetime::kSession, {}, {}, true));
    const SessionObject public_key(lease, pair.public_key);
    const SessionObject private_key(lease, pair.private_key);
    SKMS_TRY(out.wrapped.bytes, Wrap(lease, &kwp, kek, private_key.handle()));
    SKMS_TRY(const Bytes point, ReadOctets(lease, public_key.handle(), CKA_EC_POINT));
    SKMS_TRY(out.public_key, SpkiFromPoint(Curve::kP256, point));
    out.delivered = TryDeliver(lease, open, &kwp, to, private_key.handle(), spec);
    return out;
  }
  const CK_MECHANISM_TYPE mechanism =
      spec.kind == KeyKind::kAes ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN;
  SKMS_TRY(const SessionObject key, GenerateSecret(lease, mechanism, ValKeyTemplate(spec), spec.bytes));
  SKMS_TRY(out.wrapped.bytes, Wrap(lease, &kwp, kek, key.handle()));
  out.delivered = TryDeliver(lease, open, &kwp, to, key.handle(), spec);
  return out;
}

}  // namespace

Result<GeneratedKey> CryptoModule::GenerateWrapped(const KeySpec& spec, Recipients recipients,
                                                   const Recipient* to) {
  SKMS_TRYV(CheckSpec(spec));
  if (recipients == Recipients::kTrusted) {
    return state_->Run(HasStrictKek, [&](const OpenToken& open) { return GenerateForTrusted(open, spec); });
  }
  const std::uint32_t generation = state_->use().kek;
  const bool ec = spec.kind == KeyKind::kEcPrivate;
  const auto can = [&](const KnownToken& known) {
    return known.held.kek.count(generation) > 0 && (!ec || known.capabilities.wraps_ec);
  };
  return state_->Run(can, [&](const OpenToken& open) { return Generate(open, generation, spec, to); });
}

}  // namespace skms::hsm
