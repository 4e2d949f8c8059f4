// Key agreement with a recipient, inside the token: an ephemeral pair of the recipient's curve, ECDH
// (CKM_ECDH1_DERIVE) and the KDF of ANSI X9.63 with SHA-256 (CKD_SHA256_KDF), to an AES-256 key that may only
// wrap.
//
// Functions over a leased session; a lease is used by one thread.
#pragma once

#include "base/bytes.h"
#include "hsm/session_object.h"

namespace skms::hsm {

struct DerivedKey {
  SessionObject key;     ///< AES-256, sensitive, not extractable
  Bytes ephemeral_spki;  ///< what the recipient derives the same key from, SubjectPublicKeyInfo DER
};

/// The ephemeral private key is gone when this returns. Errors: kInvalidArgument (the recipient's key is not
/// on P-256 or P-384), kUnsupported and the token's (no such curve or KDF), kInternal.
Result<DerivedKey> DeriveForRecipient(SessionLease& lease, ByteView recipient_spki, ByteView shared_info);

}  // namespace skms::hsm
