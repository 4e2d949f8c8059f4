#include "api/auth/certificate.h"

#include <openssl/x509.h>

#include <memory>

namespace skms::auth {

std::optional<Bytes> SpkiOf(ByteView certificate_der) {
  const unsigned char* data = certificate_der.data();
  X509* parsed = d2i_X509(nullptr, &data, static_cast<long>(certificate_der.size()));
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(parsed, &X509_free);
  if (!certificate) return std::nullopt;
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &der);
  if (size <= 0) return std::nullopt;
  Bytes spki(der, der + size);
  OPENSSL_free(der);
  return spki;
}

}  // namespace skms::auth
