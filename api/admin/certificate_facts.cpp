#include "api/admin/certificate_facts.h"

#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>

namespace skms::admin {

Status ReadCertificateFacts(ByteView der, keystore::Principal& principal) {
  const unsigned char* data = der.data();
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      d2i_X509(nullptr, &data, static_cast<long>(der.size())), &X509_free);
  if (!certificate || data != der.data() + der.size()) return InvalidArgument("is no X.509 certificate");
  if (X509_get0_pubkey(certificate.get()) == nullptr)
    return InvalidArgument("holds a key that cannot be read");

  unsigned char* spki = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &spki);
  if (size <= 0) return InvalidArgument("holds a key that cannot be read");
  principal.certificate_spki.assign(spki, spki + size);
  OPENSSL_free(spki);

  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), &BIO_free);
  if (!text) return InternalError("out of memory");
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate.get()), 0,
                     XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
  char* start = nullptr;
  const long length = BIO_get_mem_data(text.get(), &start);
  principal.certificate_subject.assign(start, static_cast<std::size_t>(std::max(length, 0L)));

  std::tm until{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &until) != 1)
    return InvalidArgument("holds an end of validity that cannot be read");
  principal.certificate_not_after = timegm(&until);
  return Ok();
}

}  // namespace skms::admin
