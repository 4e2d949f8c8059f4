// EC in software: key pairs of this process, and ECDH with the KDF that tokens have, to compare a token with
// and to open in tests what it delivered. Pure functions; thread-safe.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "hsm/openssl_keys.h"
#include "hsm/wrapped_key.h"

namespace skms::hsm {

/// A key pair of this process. Errors: kInternal.
Result<PkeyPtr> GenerateEc(Curve curve);

struct EcPublicKey {
  Curve curve = Curve::kP256;
  Bytes point;  ///< 04 || x || y: 65 octets on P-256, 97 on P-384
};
/// "P-256" or "P-384".
const char* NameOf(Curve curve);
/// Errors: kInvalidArgument: not an EC key on P-256 or P-384, not on its curve, or octets follow.
Result<EcPublicKey> EcPublicKeyFromSpki(ByteView spki);
/// SubjectPublicKeyInfo DER from CKA_EC_POINT: a DER OCTET STRING, or raw 04||x||y as some tokens do. Errors:
/// kInternal: no point of that curve.
Result<Bytes> SpkiFromPoint(Curve curve, ByteView ec_point);

/// ECDH, then the KDF of ANSI X9.63 with SHA-256 (PKCS#11 CKD_SHA256_KDF) over `shared_info`: 32 octets.
/// Errors: kInvalidArgument: `peer_spki` is no key on the curve of `own`.
Result<SecretBytes> EcdhX963(EVP_PKEY* own, ByteView peer_spki, ByteView shared_info);

}  // namespace skms::hsm
