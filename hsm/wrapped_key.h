// What the token hands out and takes in: key specifications, wrapped keys and recipients, free of CK_ types.
//
// Plain values: copyable, no ownership of token objects, safe to share between threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.h"

namespace skms::hsm {

/// What the token generates for one VAL key.
enum class KeyKind {
  kAes,            ///< CKK_AES
  kGenericSecret,  ///< CKK_GENERIC_SECRET, for HMAC
  kEcPrivate,      ///< CKK_EC private key on P-256; wrapped as PKCS#8 PrivateKeyInfo
};

/// The curves that recipients' keys may be on.
enum class Curve { kP256, kP384 };

struct KeySpec {
  KeyKind kind = KeyKind::kAes;
  std::uint32_t bytes = 32;  ///< length of a secret key; ignored for EC
  bool operator==(const KeySpec&) const = default;
};

/// The name of a wrapping format, as stored. Never a CKM number: 0x210A means different things in different
/// modules.
inline constexpr std::string_view kFormatRfc5649 = "RFC5649";
/// The same octets, under a strict KEK: what is unwrapped can be wrapped to TRUSTED keys alone.
inline constexpr std::string_view kFormatTrusted = "RFC5649-TRUSTED";

/// Whom a key may be wrapped to for the rest of its life.
enum class Recipients {
  kAny,      ///< any recipient key (default)
  kTrusted,  ///< RSA keys that the security officer marked TRUSTED; the token enforces it
};

/// A key wrapped under KEK generation `kek_generation` of this token. Ciphertext: safe to store, not to log.
struct WrappedKey {
  std::uint32_t kek_generation = 0;
  std::string format{kFormatRfc5649};
  Bytes bytes;
};

/// An RSA public key (SubjectPublicKeyInfo DER), 2048 to 8192 bits.
struct RsaRecipient {
  Bytes spki;
};

/// An AES-256 transport key that came in through the transfer key and is kept wrapped under the KEK.
struct TransportKeyRecipient {
  WrappedKey key;
};

/// An EC public key on P-256 or P-384 (SubjectPublicKeyInfo DER, uncompressed point).
struct EcRecipient {
  Bytes spki;
};

using Recipient = std::variant<RsaRecipient, TransportKeyRecipient, EcRecipient>;

/// An EcRecipient where `spki` says that its key is an EC one, else an RsaRecipient. Nothing else is looked
/// at: that happens where a key is wrapped to it (CryptoModule::RewrapFor).
Recipient PublicKeyRecipient(Bytes spki);

/// SharedInfo of the key derivation for EC recipients: the octets of the algorithm's name.
inline constexpr std::string_view kEcdhName = "ECDH-ES+A256KWP";

/// A VAL key wrapped to a recipient, inside the token. `alg` is one of "RSA-OAEP", "RSA-OAEP-256",
/// "RSA-AES-KWP", "RSA-AES-KWP-256" (PKCS#11 2.40 6.1.21 layout in two parts), "A256KWP", "ECDH-ES+A256KWP"
/// (ECDH, the KDF of ANSI X9.63 with SHA-256 over kEcdhName, RFC 5649; JOSE's ECDH-ES has another KDF).
struct DeliveredKey {
  std::string alg;
  Bytes encrypted_key;   ///< the RSA block, or the KWP bytes for A256KWP and ECDH-ES+A256KWP
  Bytes wrapped_key;     ///< RSA-AES only: the key under the ephemeral AES-256 key (RFC 5649)
  Bytes ephemeral_spki;  ///< ECDH only: the token's ephemeral public key, SubjectPublicKeyInfo DER
};

struct GeneratedKey {
  WrappedKey wrapped;
  Bytes public_key;  ///< SubjectPublicKeyInfo DER for kEcPrivate, else empty
  /// The key to the recipient that was named; nullopt: none was, or it could not be wrapped to it at once.
  std::optional<DeliveredKey> delivered;
};

/// A payload under AES-256-GCM.
struct SealedPayload {
  WrappedKey key;    ///< the content key
  Bytes nonce;       ///< 96 bits
  Bytes ciphertext;  ///< with the 128-bit tag at its end
};

/// A payload that somebody encrypted to our transfer key.
struct TransferredPayload {
  Bytes encrypted_key;  ///< RSA-OAEP block of an AES-256 key
  Bytes nonce;
  Bytes aad;
  Bytes ciphertext;              ///< with the 128-bit tag at its end
  std::uint32_t generation = 0;  ///< of the transfer key; 0: the one in use
};

}  // namespace skms::hsm
