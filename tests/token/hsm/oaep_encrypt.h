// OAEP with SHA-1 to a public key, as a sender does for the transfer key.
#pragma once

#include <doctest/doctest.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "hsm/openssl_keys.h"

namespace skms::hsm {

inline Bytes OaepEncrypt(ByteView spki, ByteView plain) {
  const unsigned char* data = spki.data();
  const PkeyPtr key(d2i_PUBKEY(nullptr, &data, static_cast<long>(spki.size())));
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(key.get(), nullptr);
  Bytes out(1024);
  std::size_t size = out.size();
  REQUIRE(EVP_PKEY_encrypt_init(context) == 1);
  REQUIRE(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1);
  REQUIRE(EVP_PKEY_encrypt(context, out.data(), &size, plain.data(), plain.size()) == 1);
  EVP_PKEY_CTX_free(context);
  out.resize(size);
  return out;
}

}  // namespace skms::hsm
