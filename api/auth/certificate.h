// What authentication reads from a client certificate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/bounded_cache.h"
#include "base/bytes.h"

namespace skms::auth {

struct CertificateFacts {
  Bytes spki;  ///< SubjectPublicKeyInfo DER
  Sha256Digest spki_sha256{};
  std::int64_t not_before = 0;  ///< seconds since 1970
  std::int64_t not_after = 0;
};

/// nullopt when it is no certificate. Nothing is verified: TLS did that when the connection was made.
std::optional<CertificateFacts> ReadCertificate(ByteView certificate_der);

/// As ReadCertificate, but remembers the facts of certificates it has read: a client sends one certificate
/// with thousands of requests, and OpenSSL decodes its public key anew each time. Facts are of the octets
/// alone; whether a certificate is trusted, enrolled and valid now is asked each time, by others.
/// Thread-safe.
class CertificateReader {
 public:
  explicit CertificateReader(std::size_t most_bytes = 1U << 20U) : known_(most_bytes) {}

  /// nullptr when it is no certificate.
  std::shared_ptr<const CertificateFacts> Read(ByteView certificate_der);

 private:
  BoundedCache<std::shared_ptr<const CertificateFacts>> known_;
};

/// True for one or more certificates in PEM (RFC 7468) and nothing else.
bool IsCertificateBundle(const std::string& pem);

}  // namespace skms::auth
