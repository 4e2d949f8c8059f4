// GenerateWrapped: a VAL key is born in the token and leaves it only as ciphertext under the KEK.
#include "hsm/crypto_module_state.h"
#include "hsm/key_operations.h"
#include "hsm/key_pair.h"

namespace skms::hsm {
namespace {

Status CheckSpec(const KeySpec& spec) {
  const bool aes = spec.kind == KeyKind::kAes && (spec.bytes == 16 || spec.bytes == 32);
  const bool secret = spec.kind == KeyKind::kGenericSecret && spec.bytes >= 16 && spec.bytes <= 128;
  if (aes || secret || spec.kind == KeyKind::kEcPrivate) return Ok();
  return InvalidArgument("no such key: AES has 16 or 32 bytes, a generic secret 16 to 128");
}

}  // namespace

Result<GeneratedKey> CryptoModule::GenerateWrapped(const KeySpec& spec) {
  SKMS_TRYV(CheckSpec(spec));
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(state_->capabilities));
  SKMS_TRY(SessionLease lease, state_->token->Lease());
  GeneratedKey out;
  out.wrapped.kek_generation = state_->keys.generations().kek;
  if (spec.kind == KeyKind::kEcPrivate) {
    SKMS_TRY(const KeyPair pair, GenerateP256(lease, Lifetime::kSession, {}, {}, true));
    const SessionObject public_key(lease, pair.public_key);
    const SessionObject private_key(lease, pair.private_key);
    SKMS_TRY(out.wrapped.bytes, Wrap(lease, &kwp, state_->keys.newest_kek(), private_key.handle()));
    SKMS_TRY(const Bytes point, ReadOctets(lease, public_key.handle(), CKA_EC_POINT));
    SKMS_TRY(out.public_key, P256SpkiFromPoint(point));
    return out;
  }
  const CK_MECHANISM_TYPE mechanism =
      spec.kind == KeyKind::kAes ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN;
  SKMS_TRY(const SessionObject key, GenerateSecret(lease, mechanism, ValKeyTemplate(spec), spec.bytes));
  SKMS_TRY(out.wrapped.bytes, Wrap(lease, &kwp, state_->keys.newest_kek(), key.handle()));
  return out;
}

}  // namespace skms::hsm
