// CryptoModule: our PKCS#11 tokens, opened, logged in, probed, with our few token keys resolved; and the
// verbs the key store needs. No plaintext key leaves a token through it except by Reveal, which only a
// `delivery: tls` policy uses.
//
// Usually there is one token. Several hold the same keys (token_ceremony.h says how they come to): a verb
// runs in one that is well, chosen by weight, and in another if that one fails. What follows says "the token"
// for whichever runs it.
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

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "hsm/capabilities.h"
#include "hsm/token_values.h"
#include "hsm/wrapped_key.h"

namespace skms::hsm {

enum class MissingKeys;

class CryptoModule {
 public:
  /// Loads, finds the token, logs in once, probes, resolves and proves our keys by use.
  /// Errors: kConfiguration (module cannot be loaded), kTokenNotFound, kTokenAmbiguous (two tokens or two
  /// objects of a name), kTokenBlank (token not initialised, or without our keys: run `skmsctl init`),
  /// kPinIncorrect (tried once, never again), kUnsupported (the probe failed; the detail names the row),
  /// kIntegrity (a key of ours does not work).
  static Result<std::unique_ptr<CryptoModule>> Open(const TokenOptions& options, PinSource pin);

  /// Several tokens. Those that cannot be opened now are opened as soon as they can; errors, of the first in
  /// the list, only if none can. A token with other keys than the first one that opened is left aside.
  static Result<std::unique_ptr<CryptoModule>> Open(std::vector<TokenMember> members);

  /// First use of a token: makes generation 1 of every key that is missing, then behaves as Open. Never
  /// initialises a token and never touches an existing key. Errors: as Open, without "lacks our keys".
  static Result<std::unique_ptr<CryptoModule>> Provision(const TokenOptions& options, PinSource pin);

  /// Opens and logs in just to try what the token can do; needs no key of ours and leaves none behind.
  static Result<Capabilities> ProbeToken(const TokenOptions& options, const SecretBytes& pin,
                                         TokenInfo* info);

  /// Tries at once to open the token of that label, which is not open. Errors: kNotFound, kConflict (it is
  /// open), why it cannot be.
  Status OpenNow(const std::string& label);

  CryptoModule(const CryptoModule&) = delete;
  CryptoModule& operator=(const CryptoModule&) = delete;
  ~CryptoModule();

  // Of the first token, as it was opened last.
  TokenInfo info() const;
  /// Rows of the first token; what is told beside them is what each of the tokens can.
  Capabilities capabilities() const;
  /// Those that new keys, MACs and signatures are made with. The newest that every token holds, until
  /// UseGenerations.
  TokenKeyGenerations generations() const;
  /// From now on. Errors: kNotFound: no token that was opened holds them all.
  Status UseGenerations(const TokenKeyGenerations& use);
  /// Looks for token keys on each token that is open, for another process may have made some.
  void FindKeysAnew();
  /// Whether any token serves. Never waits, whatever the modules do.
  TokenHealth health() const;
  /// Each token of the list, in its order. Never waits.
  std::vector<TokenStatus> tokens() const;

  /// Generates a session key in the token, wraps it under the KEK in use and destroys it. RFC 5649. With
  /// kTrusted under the newest strict KEK: then the token itself wraps the key to TRUSTED recipients alone,
  /// as long as it lives. kUnsupported: no such KEK (see CheckStrict), or no secret key.
  ///
  /// `to`, where given, is wrapped to before the key is destroyed, in the form that RewrapFor gives, which
  /// spares its unwrapping. What cannot be wrapped to it, and a key for TRUSTED recipients, is made all the
  /// same and comes without GeneratedKey::delivered: RewrapFor then gives it, or says why not.
  Result<GeneratedKey> GenerateWrapped(const KeySpec& spec, Recipients recipients = Recipients::kAny,
                                       const Recipient* to = nullptr);

  /// Unwraps `key` in the token (SENSITIVE, EXTRACTABLE for re-wrapping; read back) and wraps it to
  /// `recipient`. Secrets that fit one RSA block go by RSA-OAEP, private keys by RSA+AES-KWP, transport keys
  /// by A256KWP, EC recipients by ECDH-ES+A256KWP where the token has the KDF. `public_key` is
  /// GeneratedKey::public_key, which some tokens need to unwrap an EC private key; empty for secrets. Errors:
  /// kIntegrity (tampered or foreign blob), kInvalidArgument (recipient key unusable), kUnsupported,
  /// kNewerSchema (wrapped in a format that this version does not know), kRecipientNotTrusted (a key for
  /// TRUSTED recipients, and this is none).
  Result<DeliveredKey> RewrapFor(const Recipient& recipient, const WrappedKey& key, const KeySpec& spec,
                                 ByteView public_key = {});

  /// The plaintext: the secret octets, or PKCS#8 DER for EC. Only for services whose policy says `delivery:
  /// tls`. `public_key` and errors as RewrapFor.
  Result<SecretBytes> Reveal(const WrappedKey& key, const KeySpec& spec, ByteView public_key = {});

  /// Takes an AES-256 transport key that came encrypted to the transfer key (RSA-OAEP with
  /// `capabilities().oaep_hash`) and keeps it wrapped under the KEK. Errors: kInvalidArgument (does not
  /// decrypt, or not 32 bytes).
  Result<WrappedKey> AdmitTransportKey(ByteView oaep_block);

  /// The same key under the KEK in use. What the old form opened to is compared with what the new one does
  /// before it is returned. `public_key` and errors as RewrapFor.
  Result<WrappedKey> RewrapUnderKek(const WrappedKey& key, const KeySpec& spec, ByteView public_key = {});

  // Payloads of any bytes, by AES-256-GCM in the token. kUnsupported: the token cannot.
  /// Under a fresh content key that is kept wrapped; `recipients` as in GenerateWrapped.
  Result<SealedPayload> Seal(ByteView plain, ByteView aad, Recipients recipients = Recipients::kAny);
  /// The plaintext, for `delivery: tls` alone. kIntegrity: it was changed, or sealed with other `aad`.
  Result<SecretBytes> Unseal(const SealedPayload& sealed, ByteView aad);
  /// The content key for a recipient, in a form that JOSE knows: "RSA-OAEP", "RSA-OAEP-256", "A256KW".
  /// Errors: as RewrapFor.
  Result<DeliveredKey> RewrapContentKey(const Recipient& recipient, const WrappedKey& key);
  /// The plaintext of what was encrypted to the transfer key. kInvalidArgument: it does not decrypt.
  Result<SecretBytes> OpenForTransfer(const TransferredPayload& sent);

  // Strict recipients: what the security officer made on the token (security_officer.h), known since it was
  // opened or looked at again.
  struct StrictView {
    std::uint32_t kek = 0;       ///< newest strict KEK that works; 0: none
    std::size_t recipients = 0;  ///< keys marked TRUSTED
  };
  Result<StrictView> ViewStrict();
  /// What RefreshStrict would take into use, in words that differ where that does.
  Result<std::string> DescribeStrictToCome();
  /// Looks at the token again: the security officer made more, or took some away.
  Result<StrictView> RefreshStrict();
  /// Whether keys can be made for TRUSTED recipients. kUnsupported: the token does not enforce it (the
  /// probe's rows), or has no strict KEK yet.
  Status CheckStrict();
  /// kRecipientNotTrusted; kInvalidArgument: no RSA key that we use.
  Status CheckTrusted(const Recipient& recipient);

  /// SubjectPublicKeyInfo DER of the transfer key in use.
  Result<Bytes> TransferPublicKey();

  /// HMAC-SHA-256 under "skms-mac-<generation>". kNotFound: no such generation.
  Result<Mac> ComputeMac(std::uint32_t generation, ByteView message);
  /// kIntegrity when the MAC does not fit; the comparison is constant-time.
  Status VerifyMac(std::uint32_t generation, ByteView message, ByteView mac);

  /// JWS-form signature (ES256: r||s, 64 bytes; PS256 where the token has no EC) under the signing key
  /// in use.
  Result<Bytes> Sign(ByteView message) { return Sign(generations().sign, message); }
  /// Under the signing key of that generation. kNotFound, or kTokenUnavailable: no token holds it.
  Result<Bytes> Sign(std::uint32_t generation, ByteView message);
  /// What DeliveredKey::alg may be on this token: those to RSA recipients first, those to EC ones last.
  std::vector<std::string> wrapping_algorithms() const;
  /// "ES256" or "PS256".
  std::string signature_algorithm() const { return signature_algorithm(generations().sign); }
  std::string signature_algorithm(std::uint32_t generation) const;
  /// SubjectPublicKeyInfo DER.
  Result<Bytes> SigningPublicKey() { return SigningPublicKey(generations().sign); }
  Result<Bytes> SigningPublicKey(std::uint32_t generation);

  /// From the token's generator. `count` 1 to 4096.
  Result<Bytes> Random(std::size_t count);

  /// Sessions now leased and the pool's bound; the rest since the token was opened last, and of the verbs
  /// alone. For `skmsctl status`.
  struct SessionUse {
    std::size_t leased = 0;
    std::size_t limit = 0;
    std::uint64_t leases = 0;
    std::uint64_t calls = 0;             ///< into the module
    std::chrono::nanoseconds waited{0};  ///< for a session, all verbs together
    std::chrono::nanoseconds held{0};    ///< from a lease to its return
    std::chrono::nanoseconds inside{0};  ///< the module, of that
  };
  SessionUse session_use() const;

  class State;  ///< for the files that implement the verbs
  State& state() { return *state_; }

 private:
  static Result<std::unique_ptr<CryptoModule>> OpenAll(std::vector<TokenMember> members, MissingKeys missing);
  explicit CryptoModule(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace skms::hsm
