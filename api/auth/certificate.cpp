#include "api/auth/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <utility>

namespace skms::auth {

namespace {

std::optional<std::int64_t> Seconds(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return timegm(&parts);
}

}  // namespace

bool IsCertificateBundle(const std::string& pem) {
  // OpenSSL ends a line at a zero, and takes the rest of it for whatever fits.
  if (pem.find('\0') != std::string::npos) return false;
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  int certificates = 0;
  for (;;) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(in.get(), &name, &header, &data, &size) != 1) break;
    const bool labelled = std::string(name) == PEM_STRING_X509;
    const unsigned char* der = data;
    X509* parsed = labelled ? d2i_X509(nullptr, &der, size) : nullptr;
    X509_free(parsed);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
    if (parsed == nullptr) {
      ERR_clear_error();
      return false;
    }
    ++certificates;
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return certificates > 0 && at_end;
}

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
  facts.spki_sha256 = Sha256(facts.spki);
  const auto not_before = Seconds(X509_get0_notBefore(certificate.get()));
  const auto not_after = Seconds(X509_get0_notAfter(certificate.get()));
  if (!not_before || !not_after) return std::nullopt;
  facts.not_before = *not_before;
  facts.not_after = *not_after;
  return facts;
}

std::shared_ptr<const CertificateFacts> CertificateReader::Read(ByteView certificate_der) {
  const Sha256Digest name = Sha256(certificate_der);
  if (auto known = known_.Find(name)) return std::move(*known);
  auto facts = ReadCertificate(certificate_der);
  if (!facts) return nullptr;
  auto read = std::make_shared<const CertificateFacts>(std::move(*facts));
  known_.Keep(name, read, sizeof(CertificateFacts) + read->spki.size());
  return read;
}

}  // namespace skms::auth
