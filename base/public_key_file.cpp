#include "base/public_key_file.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "base/file.h"

namespace skms {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

BioPtr Memory(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

}  // namespace

Result<Bytes> ReadPublicKey(const std::string& path) {
  SKMS_TRY(const std::string text, ReadFile(path));
  if (text.find("PRIVATE KEY") != std::string::npos) {
    return ConfigurationError(path + ": is a private key; give the public one: openssl pkey -in KEY -pubout");
  }
  const BioPtr pem = Memory(text);
  KeyPtr key(PEM_read_bio_PUBKEY(pem.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (!key) {
    const BioPtr der = Memory(text);
    key.reset(d2i_PUBKEY_bio(der.get(), nullptr));
  }
  if (!key) return ConfigurationError(path + ": holds no public key (SubjectPublicKeyInfo, PEM or DER)");
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size <= 0) return InternalError("the public key cannot be encoded");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

}  // namespace skms
