// HMAC and signatures on a leased session.
#pragma once

#include "base/digest.h"
#include "hsm/crypto_module.h"
#include "hsm/token.h"

namespace skms::hsm {

Result<Mac> HmacInToken(SessionLease& lease, CK_OBJECT_HANDLE key, ByteView message);

/// ECDSA (r||s) or RSA-PSS over a SHA-256 digest made outside: not every token has CKM_ECDSA_SHA256.
Result<Bytes> SignDigest(SessionLease& lease, CK_OBJECT_HANDLE key, bool ec, const Sha256Digest& digest);
/// kIntegrity when it does not fit.
Status VerifyDigest(SessionLease& lease, CK_OBJECT_HANDLE key, bool ec, const Sha256Digest& digest,
                    ByteView signature);

}  // namespace skms::hsm
