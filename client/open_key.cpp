#include "client/open_key.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cstdio>
#include <memory>

namespace skms::client {
namespace {

struct FreeAny {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(PKCS8_PRIV_KEY_INFO* info) const { PKCS8_PRIV_KEY_INFO_free(info); }
};
using PkeyPtr = std::unique_ptr<EVP_PKEY, FreeAny>;

Error DoesNotOpen(const char* with) {
  return IntegrityError(std::string("the key does not open with this ") + with + ": is it the recipient's?");
}

Result<PkeyPtr> ReadPrivateKey(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (!file) return IoError(path, errno);
  PkeyPtr key(PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr));
  if (!key || EVP_PKEY_is_a(key.get(), "RSA") != 1)
    return ConfigurationError(path + ": holds no RSA private key (PEM)");
  return key;
}

Result<SecretBytes> OaepDecrypt(const std::string& path, const EVP_MD* hash, const Bytes& block) {
  SKMS_TRY(const PkeyPtr key, ReadPrivateKey(path));
  const std::unique_ptr<EVP_PKEY_CTX, FreeAny> context(EVP_PKEY_CTX_new(key.get(), nullptr));
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(key.get()));
  SecretBytes plain(size);
  if (!context || EVP_PKEY_decrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash) != 1 ||
      EVP_PKEY_decrypt(context.get(), plain.ExposeForWriting().data(), &size, block.data(), block.size()) !=
          1) {
    return DoesNotOpen("RSA key");
  }
  plain.Truncate(size);
  return plain;
}

/// RFC 5649 with a 256-bit key.
Result<SecretBytes> UnwrapKwp(ByteView kek, const Bytes& wrapped) {
  const std::unique_ptr<EVP_CIPHER_CTX, FreeAny> context(EVP_CIPHER_CTX_new());
  SecretBytes plain(wrapped.size() + 16);
  int size = 0;
  if (!context || kek.size() != 32) return DoesNotOpen("key");
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  if (EVP_DecryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, kek.data(), nullptr) != 1 ||
      EVP_DecryptUpdate(context.get(), plain.ExposeForWriting().data(), &size, wrapped.data(),
                        static_cast<int>(wrapped.size())) != 1 ||
      size <= 0) {
    return DoesNotOpen("key");
  }
  plain.Truncate(static_cast<std::size_t>(size));
  return plain;
}

/// Some tokens pad PKCS#8 with zeros to eight octets; the DER says its own length.
Result<SecretBytes> TrimPkcs8(SecretBytes der) {
  const unsigned char* data = der.ExposeSecret().data();
  const unsigned char* end = data;
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, FreeAny> info(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &end, static_cast<long>(der.size())));
  if (!info) return IntegrityError("the opened key is not PKCS#8");
  der.Truncate(static_cast<std::size_t>(end - data));
  return der;
}

Result<SecretBytes> OpenMaterial(const ReceivedKey& key, const RecipientKey& recipient) {
  const bool sha256 = key.wrap_alg.size() > 4 && key.wrap_alg.substr(key.wrap_alg.size() - 4) == "-256";
  const EVP_MD* hash = sha256 ? EVP_sha256() : EVP_sha1();
  const bool oaep = key.wrap_alg == "RSA-OAEP" || key.wrap_alg == "RSA-OAEP-256";
  const bool rsa_aes = key.wrap_alg == "RSA-AES-KWP" || key.wrap_alg == "RSA-AES-KWP-256";
  if (oaep || rsa_aes) {
    if (recipient.rsa_private_key_path.empty()) {
      return InvalidArgument("the key is wrapped to RSA recipient '" + key.recipient +
                             "': give --recipient-key");
    }
    SKMS_TRY(SecretBytes block, OaepDecrypt(recipient.rsa_private_key_path, hash, key.encrypted_key));
    if (oaep) return block;
    return UnwrapKwp(block.ExposeSecret(), key.wrapped_key);
  }
  if (key.wrap_alg == "A256KWP") {
    if (recipient.transport_key.empty()) {
      return InvalidArgument("the key is wrapped under transport key '" + key.recipient +
                             "': give --transport-key");
    }
    return UnwrapKwp(recipient.transport_key.ExposeSecret(), key.encrypted_key);
  }
  return Error{ErrorCode::kUnsupported,
               "the key is wrapped by '" + key.wrap_alg + "', which this skmc does not know"};
}

}  // namespace

Result<SecretBytes> OpenKey(const ReceivedKey& key, const RecipientKey& recipient) {
  SecretBytes plain = key.plaintext.Clone();
  if (plain.empty()) {
    SKMS_TRY(plain, OpenMaterial(key, recipient));
  }
  if (key.alg == "ES256") return TrimPkcs8(std::move(plain));
  return plain;
}

}  // namespace skms::client
