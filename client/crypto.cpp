#include "client/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <memory>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"

namespace skms::client {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kMinModulusBytes = 256;

struct FreeAny {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
  void operator()(OSSL_PARAM* parameters) const { OSSL_PARAM_free(parameters); }
};
using PkeyPtr = std::unique_ptr<EVP_PKEY, FreeAny>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeAny>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeAny>;
using Number = std::unique_ptr<BIGNUM, FreeAny>;

Error DoesNotOpen(const char* with) {
  return IntegrityError(std::string("it does not open with this ") + with + ": is it the recipient's?");
}

Result<PkeyPtr> ReadPrivateKey(const std::string& path) {
  SKMS_TRY(const SecretBytes pem, ReadSecretFile(path));
  const ByteView text = pem.ExposeSecret();
  const std::unique_ptr<BIO, FreeAny> in(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  // An empty pass phrase, or OpenSSL would ask the terminal for one.
  PkeyPtr key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, const_cast<char*>("")));
  if (!key || EVP_PKEY_is_a(key.get(), "RSA") != 1)
    return ConfigurationError(path + ": holds no RSA private key (PEM, without a pass phrase)");
  return key;
}

const EVP_MD* Digest(OaepHash hash) { return hash == OaepHash::kSha1 ? EVP_sha1() : EVP_sha256(); }

bool SetOaep(EVP_PKEY_CTX* context, OaepHash hash) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_oaep_md(context, Digest(hash)) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, Digest(hash)) == 1;
}

PkeyPtr RsaPublicKey(const Bytes& modulus, const Bytes& exponent) {
  const bool weak = modulus.size() < kMinModulusBytes || modulus.front() < 0x80 || exponent.empty() ||
                    exponent.back() % 2 == 0 || (exponent.size() == 1 && exponent.front() < 3);
  if (weak) return nullptr;
  const Number n(BN_bin2bn(modulus.data(), static_cast<int>(modulus.size()), nullptr));
  const Number e(BN_bin2bn(exponent.data(), static_cast<int>(exponent.size()), nullptr));
  const std::unique_ptr<OSSL_PARAM_BLD, FreeAny> builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
    return nullptr;
  const std::unique_ptr<OSSL_PARAM, FreeAny> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
    return nullptr;
  return PkeyPtr(key);
}

Result<SecretBytes> Unwrap(const EVP_CIPHER* cipher, ByteView kek, const Bytes& wrapped) {
  const CipherContext context(EVP_CIPHER_CTX_new());
  SecretBytes plain(wrapped.size() + 16);
  int size = 0;
  if (!context || kek.size() != kKeyBytes) return DoesNotOpen("key");
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  if (EVP_DecryptInit_ex(context.get(), cipher, nullptr, kek.data(), nullptr) != 1 ||
      EVP_DecryptUpdate(context.get(), plain.ExposeForWriting().data(), &size, wrapped.data(),
                        static_cast<int>(wrapped.size())) != 1 ||
      size <= 0) {
    return DoesNotOpen("key");
  }
  plain.Truncate(static_cast<std::size_t>(size));
  return plain;
}

std::string NumberText(EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return {};
  const Number number(raw);
  Bytes octets(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), octets.data());
  return ToBase64Url(octets);
}

}  // namespace

Result<SecretBytes> OaepDecrypt(const std::string& path, OaepHash hash, const Bytes& block) {
  SKMS_TRY(const PkeyPtr key, ReadPrivateKey(path));
  const PkeyContext context(EVP_PKEY_CTX_new(key.get(), nullptr));
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(key.get()));
  SecretBytes plain(size);
  if (!context || EVP_PKEY_decrypt_init(context.get()) != 1 || !SetOaep(context.get(), hash) ||
      EVP_PKEY_decrypt(context.get(), plain.ExposeForWriting().data(), &size, block.data(), block.size()) !=
          1) {
    return DoesNotOpen("RSA key");
  }
  plain.Truncate(size);
  return plain;
}

Result<Bytes> OaepEncrypt(const Bytes& modulus, const Bytes& exponent, OaepHash hash,
                          const SecretBytes& plain) {
  const PkeyPtr key = RsaPublicKey(modulus, exponent);
  if (!key) return IntegrityError("the server's transfer key is no RSA public key of 2048 bits or more");
  const PkeyContext context(EVP_PKEY_CTX_new(key.get(), nullptr));
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(key.get()));
  Bytes block(size);
  const ByteView in = plain.ExposeSecret();
  if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 || !SetOaep(context.get(), hash) ||
      EVP_PKEY_encrypt(context.get(), block.data(), &size, in.data(), in.size()) != 1) {
    return IntegrityError("the server's transfer key encrypts nothing");
  }
  block.resize(size);
  return block;
}

Result<SecretBytes> UnwrapKwp(ByteView kek, const Bytes& wrapped) {
  return Unwrap(EVP_aes_256_wrap_pad(), kek, wrapped);
}

Result<SecretBytes> UnwrapKw(ByteView kek, const Bytes& wrapped) {
  return Unwrap(EVP_aes_256_wrap(), kek, wrapped);
}

Result<SecretBytes> OpenGcm(ByteView key, const Sealed& sealed, ByteView aad) {
  const CipherContext context(EVP_CIPHER_CTX_new());
  SecretBytes plain(sealed.ciphertext.size());
  Bytes tag = sealed.tag;
  int size = 0;
  int rest = 0;
  Bytes end(kTagBytes);
  if (!context || key.size() != kKeyBytes || sealed.iv.size() != kNonceBytes || tag.size() != kTagBytes ||
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), sealed.iv.data()) != 1 ||
      EVP_DecryptUpdate(context.get(), nullptr, &size, aad.data(), static_cast<int>(aad.size())) != 1 ||
      EVP_DecryptUpdate(context.get(), plain.ExposeForWriting().data(), &size, sealed.ciphertext.data(),
                        static_cast<int>(sealed.ciphertext.size())) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) != 1 ||
      EVP_DecryptFinal_ex(context.get(), end.data(), &rest) != 1) {
    return IntegrityError("the payload is not what was sealed");
  }
  return plain;
}

Result<Sealed> SealGcm(ByteView key, ByteView plain, ByteView aad) {
  const CipherContext context(EVP_CIPHER_CTX_new());
  Sealed sealed{Bytes(kNonceBytes), Bytes(plain.size()), Bytes(kTagBytes)};
  int size = 0;
  Bytes end(kTagBytes);
  if (!context || key.size() != kKeyBytes || RAND_bytes(sealed.iv.data(), kNonceBytes) != 1 ||
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), sealed.iv.data()) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &size, aad.data(), static_cast<int>(aad.size())) != 1 ||
      EVP_EncryptUpdate(context.get(), sealed.ciphertext.data(), &size, plain.data(),
                        static_cast<int>(plain.size())) != 1 ||
      EVP_EncryptFinal_ex(context.get(), end.data(), &size) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, sealed.tag.data()) != 1) {
    return InternalError("AES-GCM failed");
  }
  return sealed;
}

Result<SecretBytes> RandomOctets(std::size_t size) {
  SecretBytes octets(size);
  if (RAND_priv_bytes(octets.ExposeForWriting().data(), static_cast<int>(size)) != 1)
    return InternalError("no random octets");
  return octets;
}

Result<std::string> PublicJwk(const std::string& path) {
  SKMS_TRY(const PkeyPtr key, ReadPrivateKey(path));
  return R"({"kty":"RSA","n":")" + NumberText(key.get(), OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
         NumberText(key.get(), OSSL_PKEY_PARAM_RSA_E) + R"("})";
}

}  // namespace skms::client
