// Certificates from files, PEM or DER, and what their keys are good for. Pure but for reading; thread-safe.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace skms::provisioning {

/// DER of the first certificate in the file. Errors: kIo, kConfiguration.
Result<Bytes> ReadCertificate(const std::string& path);
/// SubjectPublicKeyInfo DER of a certificate's key.
Result<Bytes> PublicKeyOfCertificate(const Bytes& certificate);
/// What can be wrapped to the key in a SubjectPublicKeyInfo.
enum class WrapTarget {
  kRsa,   ///< keys and payloads, on every token
  kEc,    ///< on P-256 or P-384: keys, on a token that has ECDH with a KDF
  kNone,  ///< nothing
};
WrapTarget WrapTargetOf(const Bytes& spki);

}  // namespace skms::provisioning
