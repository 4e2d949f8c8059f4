// What files of certificates, CRLs, OCSP responses and private keys say to whoever looks after them: until
// when they are good, and whether they belong together.
//
// Reads the files anew for each call. Thread-safe. Errors: kIo (cannot be read), kConfiguration (holds
// nothing of the kind).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace skms {

/// Times are seconds since 1970.
struct CertificateDates {
  std::string subject;  ///< RFC 2253
  std::int64_t not_before = 0;
  std::int64_t not_after = 0;
};
/// At least one, in the file's order.
Result<std::vector<CertificateDates>> ReadCertificateDates(const std::string& path);

struct CrlDates {
  std::string issuer;
  std::int64_t this_update = 0;
  std::int64_t next_update = 0;  ///< 0: it does not say
};
/// At least one, in the file's order.
Result<std::vector<CrlDates>> ReadCrlDates(const std::string& path);

/// When the server's answer about a certificate (RFC 6960), DER as an edge staples it, is to be replaced;
/// seconds since 1970, 0: it does not say. The first of several to end.
Result<std::int64_t> ReadOcspNextUpdate(const std::string& path);

/// Whether the key is that of the file's first certificate: kConfiguration if not. No key is kept.
Status CheckKeyBelongs(const std::string& certificate_path, const std::string& key_path);

/// Whether each certificate of the file is issued by the next one: kConfiguration names the first that is
/// not.
Status CheckChainOrder(const std::string& certificate_path);

}  // namespace skms
