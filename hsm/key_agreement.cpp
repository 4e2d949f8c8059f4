#include "hsm/key_agreement.h"

#include <utility>

#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/openssl_agreement.h"

namespace skms::hsm {
namespace {

Result<CK_OBJECT_HANDLE> Derive(SessionLease& lease, CK_OBJECT_HANDLE own, Bytes point,
                                ByteView shared_info) {
  Bytes info(shared_info.begin(), shared_info.end());  // PKCS#11 takes a pointer to non-const
  CK_ECDH1_DERIVE_PARAMS parameters{CKD_SHA256_KDF, info.size(), info.data(), point.size(), point.data()};
  CK_MECHANISM mechanism{CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
  AttributeTemplate derived = SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true});
  derived.Number(CKA_VALUE_LEN, 32);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  SKMS_TRYV(lease.Check("C_DeriveKey", lease.p11()->C_DeriveKey(lease.handle(), &mechanism, own,
                                                                derived.data(), derived.size(), &handle)));
  return handle;
}

}  // namespace

Result<DerivedKey> DeriveForRecipient(SessionLease& lease, ByteView recipient_spki, ByteView shared_info) {
  SKMS_TRY(EcPublicKey recipient, EcPublicKeyFromSpki(recipient_spki));
  SKMS_TRY(const KeyPair pair,
           GenerateEcPair(lease, recipient.curve, Lifetime::kSession, {}, {.derive = true}, false));
  const SessionObject public_key(lease, pair.public_key);
  const SessionObject private_key(lease, pair.private_key);
  SKMS_TRY(const Bytes own_point, ReadOctets(lease, pair.public_key, CKA_EC_POINT));
  SKMS_TRY(Bytes ephemeral_spki, SpkiFromPoint(recipient.curve, own_point));
  SKMS_TRY(const CK_OBJECT_HANDLE handle,
           Derive(lease, pair.private_key, std::move(recipient.point), shared_info));
  SessionObject key(lease, handle);
  // As after an unwrap: what the token was asked for proves nothing.
  SKMS_TRYV(CheckHidden(lease, key.handle()));
  return DerivedKey{std::move(key), std::move(ephemeral_spki)};
}

}  // namespace skms::hsm
