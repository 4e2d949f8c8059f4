#include "client/crypto.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>
#include <memory>
#include <string_view>
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
  if (!key) return ConfigurationError(path + ": holds no private key (PEM, without a pass phrase)");
  return key;
}

Result<PkeyPtr> ReadPrivateKey(const std::string& path, const char* type) {
  SKMS_TRY(PkeyPtr key, ReadPrivateKey(path));
  if (EVP_PKEY_is_a(key.get(), type) != 1)
    return ConfigurationError(path + ": holds no " + type + " private key (PEM, without a pass phrase)");
  return key;
}

struct NamedCurve {
  const char* jose;
  const char* openssl;
  std::size_t coordinate_bytes;
};
constexpr NamedCurve kCurves[] = {{"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}};

/// nullptr: another curve.
const NamedCurve* CurveOf(EVP_PKEY* key) {
  std::array<char, 32> group{};
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1) return nullptr;
  for (const NamedCurve& curve : kCurves) {
    if (std::string_view(group.data()) == curve.openssl) return &curve;
  }
  return nullptr;
}

const EVP_MD* Digest(OaepHash hash) { return hash == OaepHash::kSha1 ? EVP_sha1() : EVP_sha256(); }

bool SetOaep(EVP_PKEY_CTX* context, OaepHash hash) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_oaep_md(context, Digest(hash)) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, Digest(hash)) == 1;
}

PkeyPtr PublicKey(const char* type, OSSL_PARAM_BLD* builder) {
  const std::unique_ptr<OSSL_PARAM, FreeAny> parameters(OSSL_PARAM_BLD_to_param(builder));
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
    return nullptr;
  return PkeyPtr(key);
}

/// nullptr: no point of `curve`.
PkeyPtr EcPublicKey(const NamedCurve& curve, const EphemeralKey& point) {
  if (point.x.size() != curve.coordinate_bytes || point.y.size() != curve.coordinate_bytes) return nullptr;
  Bytes octets{0x04};
  octets.insert(octets.end(), point.x.begin(), point.x.end());
  octets.insert(octets.end(), point.y.begin(), point.y.end());
  const std::unique_ptr<OSSL_PARAM_BLD, FreeAny> builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.openssl, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, octets.data(),
                                       octets.size()) != 1)
    return nullptr;
  return PublicKey("EC", builder.get());
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
  return PublicKey("RSA", builder.get());
}

Result<Bytes> SpkiOf(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = key != nullptr ? i2d_PUBKEY(key, &der) : 0;
  if (size <= 0) return IntegrityError("the members of a JWK are no public key");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
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

/// `bytes` 0: as many as it needs.
std::string NumberText(EVP_PKEY* key, const char* name, std::size_t bytes = 0) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return {};
  const Number number(raw);
  Bytes octets(bytes > 0 ? bytes : static_cast<std::size_t>(BN_num_bytes(number.get())));
  if (BN_bn2binpad(number.get(), octets.data(), static_cast<int>(octets.size())) < 0) return {};
  return ToBase64Url(octets);
}

}  // namespace

Result<SecretBytes> OaepDecrypt(const std::string& path, OaepHash hash, const Bytes& block) {
  SKMS_TRY(const PkeyPtr key, ReadPrivateKey(path, "RSA"));
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

Result<SecretBytes> EcdhX963(const std::string& path, const EphemeralKey& ephemeral, ByteView shared_info) {
  SKMS_TRY(const PkeyPtr own, ReadPrivateKey(path, "EC"));
  const NamedCurve* curve = CurveOf(own.get());
  if (curve == nullptr || ephemeral.curve != curve->jose) return DoesNotOpen("EC key");
  const PkeyPtr peer = EcPublicKey(*curve, ephemeral);
  if (!peer) return IntegrityError("the answer's ephemeral key is no point of " + ephemeral.curve);
  const PkeyContext context(EVP_PKEY_CTX_new(own.get(), nullptr));
  // OpenSSL takes ownership of its copy.
  auto* info = static_cast<unsigned char*>(OPENSSL_memdup(shared_info.data(), shared_info.size()));
  SecretBytes key(kKeyBytes);
  std::size_t size = kKeyBytes;
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_CTX_set_ecdh_kdf_type(context.get(), EVP_PKEY_ECDH_KDF_X9_63) != 1 ||
      EVP_PKEY_CTX_set_ecdh_kdf_md(context.get(), EVP_sha256()) != 1 ||
      EVP_PKEY_CTX_set_ecdh_kdf_outlen(context.get(), kKeyBytes) != 1 ||
      EVP_PKEY_CTX_set0_ecdh_kdf_ukm(context.get(), info, static_cast<int>(shared_info.size())) != 1) {
    OPENSSL_free(info);
    return InternalError("ECDH cannot be set up");
  }
  if (EVP_PKEY_derive(context.get(), key.ExposeForWriting().data(), &size) != 1 || size != kKeyBytes)
    return IntegrityError("the answer's ephemeral key gives no common key");
  return key;
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

Result<Bytes> EcSpki(const EphemeralKey& point) {
  for (const NamedCurve& curve : kCurves) {
    if (point.curve == curve.jose) return SpkiOf(EcPublicKey(curve, point).get());
  }
  return IntegrityError("a key of curve '" + point.curve + "', which is not known here");
}

Result<Bytes> RsaSpki(const Bytes& modulus, const Bytes& exponent) {
  return SpkiOf(RsaPublicKey(modulus, exponent).get());
}

Result<SecretBytes> RandomOctets(std::size_t size) {
  SecretBytes octets(size);
  if (RAND_priv_bytes(octets.ExposeForWriting().data(), static_cast<int>(size)) != 1)
    return InternalError("no random octets");
  return octets;
}

Result<std::string> PublicJwk(const std::string& path) {
  SKMS_TRY(const PkeyPtr key, ReadPrivateKey(path));
  if (const NamedCurve* curve = EVP_PKEY_is_a(key.get(), "EC") == 1 ? CurveOf(key.get()) : nullptr) {
    return R"({"kty":"EC","crv":")" + std::string(curve->jose) + R"(","x":")" +
           NumberText(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, curve->coordinate_bytes) + R"(","y":")" +
           NumberText(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, curve->coordinate_bytes) + R"("})";
  }
  if (EVP_PKEY_is_a(key.get(), "RSA") != 1)
    return ConfigurationError(path + ": holds no RSA private key and no EC one on P-256 or P-384");
  return R"({"kty":"RSA","n":")" + NumberText(key.get(), OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
         NumberText(key.get(), OSSL_PKEY_PARAM_RSA_E) + R"("})";
}

}  // namespace skms::client
