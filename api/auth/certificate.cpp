#include "api/auth/certificate.h"

#include <openssl/x509.h>

#include <ctime>
#include <memory>

namespace skms::auth {

namespace {

std::optional<std::int64_t> Seconds(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return timegm(&parts);
}

}  // namespace

std::optional<CertificateFacts> ReadCertificate(ByteView certificate_der) {
  const unsigned char* data = certificate_der.data();
  X509* parsed = d2i_X509(nullptr, &data, static_cast<long>(certificate_der.size()));
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(parsed, &X509_free);
  if (!certificate) return std::nullopt;
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &der);
  if (size <= 0) return std::nullopt;
  CertificateFacts facts;
  facts.spki.assign(der, der + size);
  OPENSSL_free(der);
  const auto not_before = Seconds(X509_get0_notBefore(certificate.get()));
  const auto not_after = Seconds(X509_get0_notAfter(certificate.get()));
  if (!not_before || !not_after) return std::nullopt;
  facts.not_before = *not_before;
  facts.not_after = *not_after;
  return facts;
}

}  // namespace skms::auth
