// The little of OpenSSL that hsm/ needs: a software RFC 5649 to compare a token with, RSA keys to and from
// SPKI DER, and OAEP decryption for self-tests and Reveal. Pure functions; thread-safe.
#pragma once

#include <openssl/evp.h>

#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "hsm/capabilities.h"

namespace skms::hsm {

struct FreePkey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using PkeyPtr = std::unique_ptr<EVP_PKEY, FreePkey>;

/// RFC 5649 (AES-256 key wrap with padding). Errors: kIntegrity on unwrap of what does not fit.
Result<Bytes> WrapRfc5649(ByteView kek, ByteView key);
Result<SecretBytes> UnwrapRfc5649(ByteView kek, ByteView wrapped);

/// RFC 3394 (AES-256 key wrap without padding), of 16, 24 or 32 octets.
Result<Bytes> WrapRfc3394(ByteView kek, ByteView key);
/// AES-256-GCM with a 96-bit nonce: ciphertext, then the 128-bit tag.
Result<Bytes> GcmEncrypt(ByteView key, ByteView nonce, ByteView aad, ByteView plain);

struct RsaPublicNumbers {
  Bytes modulus;  ///< big-endian, no leading zero
  Bytes exponent;
};
/// Errors: kInvalidArgument: not an RSA key of 2048 to 8192 bits with an odd exponent of at least 65537.
Result<RsaPublicNumbers> RsaNumbersFromSpki(ByteView spki);
Result<Bytes> RsaSpkiFromNumbers(ByteView modulus, ByteView exponent);

/// An RSA-2048 key of this process. Errors: kInternal.
Result<PkeyPtr> GenerateRsa();
Result<Bytes> PublicSpki(EVP_PKEY* key);
/// PKCS#8 DER; zeros may follow, as some tokens pad. Errors: kIntegrity.
Result<PkeyPtr> PrivateKeyFromPkcs8(ByteView pkcs8);
/// Errors: kIntegrity.
Result<SecretBytes> OaepDecrypt(EVP_PKEY* key, OaepHash hash, ByteView block);

}  // namespace skms::hsm
