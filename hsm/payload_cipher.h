// AES-256-GCM in the token (PKCS#11 2.40 CKM_AES_GCM, six-field parameters), over a leased session.
#pragma once

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "hsm/capabilities.h"
#include "hsm/session_object.h"

namespace skms::hsm {

inline constexpr std::size_t kGcmNonceBytes = 12;
inline constexpr std::size_t kGcmTagBytes = 16;

/// Ciphertext and the 128-bit tag behind it. Errors: the token's.
Result<Bytes> EncryptGcm(SessionLease& lease, GcmLayout layout, CK_OBJECT_HANDLE key, ByteView nonce,
                         ByteView aad, ByteView plain);
/// Errors: kIntegrity (the tag does not fit), the token's.
Result<SecretBytes> DecryptGcm(SessionLease& lease, GcmLayout layout, CK_OBJECT_HANDLE key, ByteView nonce,
                               ByteView aad, ByteView sealed);

}  // namespace skms::hsm
