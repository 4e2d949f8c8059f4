// CryptoModule: one PKCS#11 token, opened, logged in, probed, with our few token keys resolved; and the verbs
// the key store needs. No plaintext key leaves the token through it except by Reveal, which only a `delivery:
// tls` policy uses.
//
// Token objects (PKCS#11 2.40): "skms-kek-<n>" AES-256, "skms-mac-<n>" generic secret, "skms-sign-<n>" EC
// P-256 or RSA-3072, "skms-transfer-<n>" RSA-3072. They are resolved once in Open; no verb calls
// C_FindObjects, C_OpenSession (a session thrown away after an error is replaced) or C_Login.
//
// A token that is lost is opened again by a thread of its own (token_keeper.h), as often as it takes.
// Meanwhile a verb waits at most `session_wait` for it, then fails with kTokenUnavailable; a verb that the
// token failed is run once more.
//
// After fork the child must exec or _exit; it neither uses nor destroys the module.
//
// Thread-safe after Open: every verb leases a session of its own from a bounded pool, and waits at most
// `session_wait` for it (kResourceExhausted after that). Every verb may also return kTokenUnavailable
// (session or token lost) and kToken (any other CKR_, named in the detail).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "hsm/capabilities.h"
#include "hsm/wrapped_key.h"

namespace skms::hsm {

struct TokenOptions {
  std::string module_path;       ///< shared object of the PKCS#11 module
  std::string init_args;         ///< parameter string for C_Initialize; empty: none, as the standard has it
  std::string label;             ///< token label, must be unique among the module's tokens
  std::string serial;            ///< optional; narrows the search, never replaces the label
  std::size_t max_sessions = 8;  ///< 2 to 1024; clipped to what the token tells
  std::chrono::milliseconds session_wait{2000};
};

struct TokenInfo {
  std::string label;
  std::string serial;
  std::string manufacturer;
  std::string model;
  std::string firmware;
  std::uint64_t max_sessions = 0;  ///< 0: the token does not say
};

/// How many of our keys the token holds; the number is the newest generation, 0 for none.
struct TokenKeyGenerations {
  std::uint32_t kek = 0;
  std::uint32_t mac = 0;
  std::uint32_t sign = 0;
  std::uint32_t transfer = 0;
};

using Mac = std::array<std::uint8_t, 32>;

/// Where the PIN is read, anew for each opening: it is not kept in memory. Called by any thread, one at a
/// time.
using PinSource = std::function<Result<SecretBytes>()>;

struct TokenHealth {
  bool available = false;
  std::string trouble;  ///< why it is lost, one sentence; empty while it is available
  std::chrono::steady_clock::time_point since{};  ///< it is as it is
  std::uint64_t recoveries = 0;                   ///< losses that it came back from
};

class CryptoModule {
 public:
  /// Loads, finds the token, logs in once, probes, resolves and proves our keys by use.
  /// Errors: kConfiguration (module cannot be loaded), kTokenNotFound, kTokenAmbiguous (two tokens or two
  /// objects of a name), kTokenBlank (token not initialised, or without our keys: run `skmsctl init`),
  /// kPinIncorrect (tried once, never again), kUnsupported (the probe failed; the detail names the row),
  /// kIntegrity (a key of ours does not work).
  static Result<std::unique_ptr<CryptoModule>> Open(const TokenOptions& options, PinSource pin);

  /// First use of a token: makes generation 1 of every key that is missing, then behaves as Open. Never
  /// initialises a token and never touches an existing key. Errors: as Open, without "lacks our keys".
  static Result<std::unique_ptr<CryptoModule>> Provision(const TokenOptions& options, PinSource pin);

  /// Opens and logs in just to try what the token can do; needs no key of ours and leaves none behind.
  static Result<Capabilities> ProbeToken(const TokenOptions& options, const SecretBytes& pin,
                                         TokenInfo* info);

  CryptoModule(const CryptoModule&) = delete;
  CryptoModule& operator=(const CryptoModule&) = delete;
  ~CryptoModule();

  // Of the token as it was opened last.
  TokenInfo info() const;
  Capabilities capabilities() const;
  TokenKeyGenerations generations() const;
  /// Never waits, whatever the module does.
  TokenHealth health() const;

  /// Generates a session key in the token, wraps it under the newest KEK and destroys it. RFC 5649.
  Result<GeneratedKey> GenerateWrapped(const KeySpec& spec);

  /// Unwraps `key` in the token (SENSITIVE, EXTRACTABLE for re-wrapping; read back) and wraps it to
  /// `recipient`. Secrets that fit one RSA block go by RSA-OAEP, private keys by RSA+AES-KWP, transport keys
  /// by A256KWP, EC recipients by ECDH-ES+A256KWP where the token has the KDF. `public_key` is
  /// GeneratedKey::public_key, which some tokens need to unwrap an EC private key; empty for secrets. Errors:
  /// kIntegrity (tampered or foreign blob), kInvalidArgument (recipient key unusable), kUnsupported,
  /// kNewerSchema (wrapped in a format that this version does not know).
  Result<DeliveredKey> RewrapFor(const Recipient& recipient, const WrappedKey& key, const KeySpec& spec,
                                 ByteView public_key = {});

  /// The plaintext: the secret octets, or PKCS#8 DER for EC. Only for services whose policy says `delivery:
  /// tls`. `public_key` and errors as RewrapFor.
  Result<SecretBytes> Reveal(const WrappedKey& key, const KeySpec& spec, ByteView public_key = {});

  /// Takes an AES-256 transport key that came encrypted to the transfer key (RSA-OAEP with
  /// `capabilities().oaep_hash`) and keeps it wrapped under the KEK. Errors: kInvalidArgument (does not
  /// decrypt, or not 32 bytes).
  Result<WrappedKey> AdmitTransportKey(ByteView oaep_block);
  // Payloads of any bytes, by AES-256-GCM in the token. kUnsupported: the token cannot.
  /// Under a fresh content key that is kept wrapped.
  Result<SealedPayload> Seal(ByteView plain, ByteView aad);
  /// The plaintext, for `delivery: tls` alone. kIntegrity: it was changed, or sealed with other `aad`.
  Result<SecretBytes> Unseal(const SealedPayload& sealed, ByteView aad);
  /// The content key for a recipient, in a form that JOSE knows: "RSA-OAEP", "RSA-OAEP-256", "A256KW".
  /// Errors: as RewrapFor.
  Result<DeliveredKey> RewrapContentKey(const Recipient& recipient, const WrappedKey& key);
  /// The plaintext of what was encrypted to the transfer key. kInvalidArgument: it does not decrypt.
  Result<SecretBytes> OpenForTransfer(const TransferredPayload& sent);

  /// SubjectPublicKeyInfo DER of the newest transfer key.
  Result<Bytes> TransferPublicKey();

  /// HMAC-SHA-256 under "skms-mac-<generation>". kNotFound: no such generation.
  Result<Mac> ComputeMac(std::uint32_t generation, ByteView message);
  /// kIntegrity when the MAC does not fit; the comparison is constant-time.
  Status VerifyMac(std::uint32_t generation, ByteView message, ByteView mac);

  /// JWS-form signature (ES256: r||s, 64 bytes; PS256 where the token has no EC) under the newest signing
  /// key.
  Result<Bytes> Sign(ByteView message);
  /// What DeliveredKey::alg may be on this token, strongest first.
  std::vector<std::string> wrapping_algorithms() const;
  std::string signature_algorithm() const;  ///< "ES256" or "PS256"
  Result<Bytes> SigningPublicKey();         ///< SubjectPublicKeyInfo DER

  /// From the token's generator. `count` 1 to 4096.
  Result<Bytes> Random(std::size_t count);

  /// Sessions now leased and the pool's bound, for `skmsctl status`.
  struct SessionUse {
    std::size_t leased = 0;
    std::size_t limit = 0;
  };
  SessionUse session_use() const;

  class State;  ///< for the files that implement the verbs

 private:
  explicit CryptoModule(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace skms::hsm
