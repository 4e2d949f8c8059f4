#include "base/public_key_file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <utility>

#include "base/file.h"

namespace skms {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

constexpr const char* kBegin = "-----BEGIN ";

BioPtr Memory(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

Result<Bytes> DerOf(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return InternalError("the public key cannot be encoded");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

}  // namespace

Result<std::vector<Bytes>> ReadPublicKeys(const std::string& path) {
  SKMS_TRY(const std::string text, ReadFile(path));
  if (text.find("PRIVATE KEY") != std::string::npos) {
    return ConfigurationError(path + ": is a private key; give the public one: openssl pkey -in KEY -pubout");
  }
  std::vector<Bytes> keys;
  const BioPtr pem = Memory(text);
  for (;;) {
    const KeyPtr key(PEM_read_bio_PUBKEY(pem.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
    if (!key) break;
    SKMS_TRY(Bytes spki, DerOf(key.get()));
    keys.push_back(std::move(spki));
  }
  ERR_clear_error();
  std::size_t begun = 0;
  for (std::size_t at = text.find(kBegin); at != std::string::npos; at = text.find(kBegin, at + 1)) ++begun;
  const Error none = ConfigurationError(
      path + ": holds no public key (SubjectPublicKeyInfo, PEM or DER), or more than keys");
  if (!keys.empty() && begun != keys.size()) return none;
  if (!keys.empty()) return keys;
  const BioPtr der = Memory(text);
  const KeyPtr key(d2i_PUBKEY_bio(der.get(), nullptr), &EVP_PKEY_free);
  if (!key) return none;
  SKMS_TRY(Bytes spki, DerOf(key.get()));
  keys.push_back(std::move(spki));
  return keys;
}

Result<Bytes> ReadPublicKey(const std::string& path) {
  SKMS_TRY(std::vector<Bytes> keys, ReadPublicKeys(path));
  if (keys.size() > 1) return ConfigurationError(path + ": holds more than one public key");
  return std::move(keys.front());
}

}  // namespace skms
