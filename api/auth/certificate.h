// What authentication reads from a client certificate.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"

namespace skms::auth {

struct CertificateFacts {
  Bytes spki;                   ///< SubjectPublicKeyInfo DER
  std::int64_t not_before = 0;  ///< seconds since 1970
  std::int64_t not_after = 0;
};

/// nullopt when it is no certificate. Nothing is verified: TLS did that when the connection was made.
std::optional<CertificateFacts> ReadCertificate(ByteView certificate_der);

/// True for one or more certificates in PEM (RFC 7468) and nothing else.
bool IsCertificateBundle(const std::string& pem);

}  // namespace skms::auth
