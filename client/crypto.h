// What a recipient does with its keys, in OpenSSL: the inverse of what the server's token did, and what a
// provisioner needs. Internal to libskmc. Thread-safe.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "client/key_answer.h"

namespace skms::client {

enum class OaepHash { kSha1, kSha256 };  ///< of the label and of MGF1

/// With the PEM key at `path`. Errors: kIo, kConfiguration (no RSA private key), kIntegrity (does not open).
Result<SecretBytes> OaepDecrypt(const std::string& path, OaepHash hash, const Bytes& block);
/// To the RSA public key (`modulus`, `exponent`, big-endian). kIntegrity: no such key.
Result<Bytes> OaepEncrypt(const Bytes& modulus, const Bytes& exponent, OaepHash hash,
                          const SecretBytes& plain);

/// ECDH with the PEM key at `path`, then the KDF of ANSI X9.63 with SHA-256 over `shared_info`: 32 octets.
/// Errors: kIo, kConfiguration (no EC private key), kIntegrity (another curve than the key's, or no point of
/// it).
Result<SecretBytes> EcdhX963(const std::string& path, const EphemeralKey& ephemeral, ByteView shared_info);

/// RFC 5649 and RFC 3394, 256 bits. kIntegrity: it does not open.
Result<SecretBytes> UnwrapKwp(ByteView kek, const Bytes& wrapped);
Result<SecretBytes> UnwrapKw(ByteView kek, const Bytes& wrapped);

struct Sealed {
  Bytes iv, ciphertext, tag;
};
/// AES-256-GCM with a 96-bit IV and a 128-bit tag. kIntegrity: it does not open.
Result<SecretBytes> OpenGcm(ByteView key, const Sealed& sealed, ByteView aad);
Result<Sealed> SealGcm(ByteView key, ByteView plain, ByteView aad);

/// SubjectPublicKeyInfo DER. kIntegrity: no point of the curve; no RSA key of 2048 bits or more.
Result<Bytes> EcSpki(const EphemeralKey& point);
Result<Bytes> RsaSpki(const Bytes& modulus, const Bytes& exponent);

/// Random octets. kInternal: the generator failed.
Result<SecretBytes> RandomOctets(std::size_t size);

/// The public half of the RSA or EC key (P-256, P-384) at `path` as a JWK of the members that RFC 7638
/// counts. Errors: as OaepDecrypt's file ones.
Result<std::string> PublicJwk(const std::string& path);

}  // namespace skms::client
