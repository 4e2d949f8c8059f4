// An RSA recipient whose private key this process holds, as a VAL server would: it opens with OpenSSL what
// the token delivered.
#pragma once

#include <doctest/doctest.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "hsm/crypto_module.h"
#include "hsm/openssl_keys.h"

namespace skms::test {

class RsaHolder {
 public:
  explicit RsaHolder(hsm::OaepHash hash) : hash_(hash), key_(hsm::GenerateRsa().value()) {}

  hsm::Recipient recipient() const { return hsm::RsaRecipient{hsm::PublicSpki(key_.get()).value()}; }

  /// What came, whichever of the RSA forms it has.
  SecretBytes Open(const hsm::DeliveredKey& delivered) const {
    auto block = hsm::OaepDecrypt(key_.get(), hash_, delivered.encrypted_key);
    REQUIRE(block.has_value());
    if (delivered.wrapped_key.empty()) return std::move(block).value();
    auto key = hsm::UnwrapRfc5649(block.value().ExposeSecret(), delivered.wrapped_key);
    REQUIRE(key.has_value());
    return std::move(key).value();
  }

 private:
  hsm::OaepHash hash_;
  hsm::PkeyPtr key_;
};

inline hsm::PkeyPtr PublicKey(ByteView spki) {
  const unsigned char* data = spki.data();
  hsm::PkeyPtr key(d2i_PUBKEY(nullptr, &data, static_cast<long>(spki.size())));
  REQUIRE(key != nullptr);
  return key;
}

/// RSA-OAEP to the token's transfer key, as a sender does it.
inline Bytes OaepEncryptTo(ByteView spki, hsm::OaepHash hash, ByteView plain) {
  const hsm::PkeyPtr key = PublicKey(spki);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(key.get(), nullptr);
  const EVP_MD* digest = hash == hsm::OaepHash::kSha256 ? EVP_sha256() : EVP_sha1();
  Bytes out(1024);
  std::size_t size = out.size();
  REQUIRE(EVP_PKEY_encrypt_init(context) == 1);
  REQUIRE(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1);
  REQUIRE(EVP_PKEY_CTX_set_rsa_oaep_md(context, digest) == 1);
  REQUIRE(EVP_PKEY_CTX_set_rsa_mgf1_md(context, digest) == 1);
  REQUIRE(EVP_PKEY_encrypt(context, out.data(), &size, plain.data(), plain.size()) == 1);
  EVP_PKEY_CTX_free(context);
  out.resize(size);
  return out;
}

}  // namespace skms::test
