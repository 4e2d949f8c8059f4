// Key pairs: generation with every usage flag said, for P-256 and RSA.
#pragma once

#include "hsm/attribute_template.h"
#include "hsm/token.h"
#include "hsm/wrapped_key.h"

namespace skms::hsm {

struct KeyPair {
  CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE private_key = CK_INVALID_HANDLE;
};

/// `label` is given to token objects and used as CKA_ID too.
Result<KeyPair> GenerateEcPair(SessionLease& lease, Curve curve, Lifetime lifetime,
                               const KeyUsage& public_usage, const KeyUsage& private_usage, bool extractable,
                               std::string_view label = {});
/// The same on P-256.
Result<KeyPair> GenerateP256(SessionLease& lease, Lifetime lifetime, const KeyUsage& public_usage,
                             const KeyUsage& private_usage, bool extractable, std::string_view label = {});
Result<KeyPair> GenerateRsaPair(SessionLease& lease, CK_ULONG bits, Lifetime lifetime,
                                const KeyUsage& public_usage, const KeyUsage& private_usage,
                                std::string_view label = {}, bool extractable = false);

/// SubjectPublicKeyInfo DER of a public key object, RSA or P-256.
Result<Bytes> ReadSpki(SessionLease& lease, CK_OBJECT_HANDLE key, bool ec);

}  // namespace skms::hsm
