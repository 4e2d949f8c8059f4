#include "provisioning/pem_file.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "base/file.h"
#include "hsm/openssl_agreement.h"

namespace skms::provisioning {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

BioPtr Memory(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

template <class Object, class Encode>
Result<Bytes> Der(Object* object, Encode encode) {
  unsigned char* der = nullptr;
  const int size = encode(object, &der);
  if (size <= 0) return InternalError("cannot be encoded");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

}  // namespace

Result<Bytes> ReadCertificate(const std::string& path) {
  SKMS_TRY(const std::string text, ReadFile(path));
  const BioPtr pem = Memory(text);
  CertificatePtr certificate(PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr), &X509_free);
  if (!certificate) {
    const BioPtr der = Memory(text);
    certificate.reset(d2i_X509_bio(der.get(), nullptr));
  }
  if (!certificate) return ConfigurationError(path + ": holds no X.509 certificate (PEM or DER)");
  return Der(certificate.get(), i2d_X509);
}

Result<Bytes> PublicKeyOfCertificate(const Bytes& certificate) {
  const unsigned char* data = certificate.data();
  const CertificatePtr parsed(d2i_X509(nullptr, &data, static_cast<long>(certificate.size())), &X509_free);
  if (!parsed) return ConfigurationError("no X.509 certificate");
  return Der(X509_get_X509_PUBKEY(parsed.get()), i2d_X509_PUBKEY);
}

WrapTarget WrapTargetOf(const Bytes& spki) {
  const unsigned char* data = spki.data();
  const KeyPtr key(d2i_PUBKEY(nullptr, &data, static_cast<long>(spki.size())), &EVP_PKEY_free);
  if (key && EVP_PKEY_is_a(key.get(), "RSA") == 1) return WrapTarget::kRsa;
  return hsm::EcPublicKeyFromSpki(spki).has_value() ? WrapTarget::kEc : WrapTarget::kNone;
}

}  // namespace skms::provisioning
