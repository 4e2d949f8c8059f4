#include "hsm/openssl_keys.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <utility>

#include "hsm/openssl_handles.h"

namespace skms::hsm {
namespace {

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
struct FreeBignum {
  void operator()(BIGNUM* number) const { BN_free(number); }
};
struct FreeParams {
  void operator()(OSSL_PARAM* params) const { OSSL_PARAM_free(params); }
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
};
using BignumPtr = std::unique_ptr<BIGNUM, FreeBignum>;

constexpr std::size_t kKwpOverhead = 16;

Result<Bytes> RunKwp(ByteView kek, ByteView in, bool wrap) {
  const std::unique_ptr<EVP_CIPHER_CTX, FreeCipher> context(EVP_CIPHER_CTX_new());
  Bytes out(in.size() + kKwpOverhead);
  int size = 0;
  if (!context || kek.size() != 32) return InternalError("RFC 5649 needs a 32-byte key");
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  if (EVP_CipherInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, kek.data(), nullptr, wrap ? 1 : 0) !=
          1 ||
      EVP_CipherUpdate(context.get(), out.data(), &size, in.data(), static_cast<int>(in.size())) != 1 ||
      size <= 0) {
    Wipe(out);
    return IntegrityError("RFC 5649: the wrapped key does not fit the wrapping key");
  }
  Wipe(std::span(out).subspan(static_cast<std::size_t>(size)));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

Result<Bytes> DerOf(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return InternalError("a public key cannot be encoded");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

BignumPtr ToBignum(ByteView octets) {
  return BignumPtr(BN_bin2bn(octets.data(), static_cast<int>(octets.size()), nullptr));
}

Bytes FromBignum(const BIGNUM* number) {
  Bytes out(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, out.data());
  return out;
}

}  // namespace

Result<Bytes> WrapRfc5649(ByteView kek, ByteView key) { return RunKwp(kek, key, true); }

Result<SecretBytes> UnwrapRfc5649(ByteView kek, ByteView wrapped) {
  SKMS_TRY(Bytes plain, RunKwp(kek, wrapped, false));
  return SecretBytes::TakeFrom(plain);
}

Result<Bytes> WrapRfc3394(ByteView kek, ByteView key) {
  const std::unique_ptr<EVP_CIPHER_CTX, FreeCipher> context(EVP_CIPHER_CTX_new());
  Bytes out(key.size() + 8);
  int size = 0;
  if (!context || kek.size() != 32) return InternalError("RFC 3394 needs a 32-byte key");
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  if (EVP_EncryptInit_ex(context.get(), EVP_aes_256_wrap(), nullptr, kek.data(), nullptr) != 1 ||
      EVP_EncryptUpdate(context.get(), out.data(), &size, key.data(), static_cast<int>(key.size())) != 1 ||
      static_cast<std::size_t>(size) != out.size())
    return InternalError("RFC 3394 failed");
  return out;
}

Result<Bytes> GcmEncrypt(ByteView key, ByteView nonce, ByteView aad, ByteView plain) {
  constexpr int kTagBytes = 16;
  const std::unique_ptr<EVP_CIPHER_CTX, FreeCipher> context(EVP_CIPHER_CTX_new());
  Bytes out(plain.size() + kTagBytes);
  int size = 0;
  if (!context || key.size() != 32 || nonce.size() != 12) return InternalError("AES-256-GCM of another form");
  if (EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &size, aad.data(), static_cast<int>(aad.size())) != 1 ||
      EVP_EncryptUpdate(context.get(), out.data(), &size, plain.data(), static_cast<int>(plain.size())) !=
          1 ||
      EVP_EncryptFinal_ex(context.get(), out.data() + size, &size) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, out.data() + plain.size()) != 1)
    return InternalError("AES-256-GCM failed");
  return out;
}

Result<RsaPublicNumbers> RsaNumbersFromSpki(ByteView spki) {
  const unsigned char* data = spki.data();
  const PkeyPtr key(d2i_PUBKEY(nullptr, &data, static_cast<long>(spki.size())));
  if (!key || data != spki.data() + spki.size() || EVP_PKEY_is_a(key.get(), "RSA") != 1) {
    return InvalidArgument("not an RSA public key (SubjectPublicKeyInfo)");
  }
  BIGNUM* n = nullptr;
  BIGNUM* e = nullptr;
  const bool read = EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
                    EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_RSA_E, &e) == 1;
  const BignumPtr modulus(n);
  const BignumPtr exponent(e);
  if (!read) return InvalidArgument("an RSA public key without numbers");
  const int bits = BN_num_bits(n);
  if (bits < 2048 || bits > 8192) {
    return InvalidArgument("an RSA key of " + std::to_string(bits) + " bits; 2048 to 8192 are accepted");
  }
  if (BN_is_odd(e) == 0 || BN_num_bits(e) < 17)
    return InvalidArgument("an RSA exponent that is even or below 65537");
  return RsaPublicNumbers{FromBignum(n), FromBignum(e)};
}

Result<Bytes> RsaSpkiFromNumbers(ByteView modulus, ByteView exponent) {
  const BignumPtr n = ToBignum(modulus);
  const BignumPtr e = ToBignum(exponent);
  const std::unique_ptr<OSSL_PARAM_BLD, FreeParams> builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return InternalError("an RSA public key cannot be built");
  }
  const std::unique_ptr<OSSL_PARAM, FreeParams> params(OSSL_PARAM_BLD_to_param(builder.get()));
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return InternalError("an RSA public key cannot be built");
  }
  const PkeyPtr key(made);
  return DerOf(key.get());
}

Result<PkeyPtr> GenerateRsa() {
  PkeyPtr key(EVP_RSA_gen(2048));
  if (!key) return InternalError("an RSA key cannot be generated");
  return key;
}

Result<Bytes> PublicSpki(EVP_PKEY* key) { return DerOf(key); }

Result<PkeyPtr> PrivateKeyFromPkcs8(ByteView pkcs8) {
  const unsigned char* data = pkcs8.data();
  PkeyPtr key(d2i_AutoPrivateKey(nullptr, &data, static_cast<long>(pkcs8.size())));
  if (!key) return IntegrityError("not a private key (PKCS#8)");
  return key;
}

Result<SecretBytes> OaepDecrypt(EVP_PKEY* key, OaepHash hash, ByteView block) {
  const PkeyContextPtr context(EVP_PKEY_CTX_new(key, nullptr));
  const EVP_MD* digest = hash == OaepHash::kSha256 ? EVP_sha256() : EVP_sha1();
  std::size_t size = block.size();
  SecretBytes plain(size);
  if (!context || EVP_PKEY_decrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), digest) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), digest) != 1 ||
      EVP_PKEY_decrypt(context.get(), plain.ExposeForWriting().data(), &size, block.data(), block.size()) !=
          1) {
    return IntegrityError("an RSA-OAEP block does not decrypt");
  }
  plain.Truncate(size);
  return plain;
}

}  // namespace skms::hsm
