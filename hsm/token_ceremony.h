// TokenCeremony: the life of our token keys: a next generation of them, the same in each token; a token that
// joins; the end of old generations. No key is ever seen outside a token but wrapped.
//
// One token alone makes its next keys by C_GenerateKey, never extractable. Several must hold the same: the
// keys are born in one token as session objects, go to the others wrapped under the KEK in use, which these
// hold too, and to a token that joins wrapped to its join key by RSA-OAEP and RFC 5649 (the layout of
// CKM_RSA_AES_KEY_WRAP). In each they are unwrapped as token objects, sensitive and not extractable, which is
// read back.
//
// The join key is an RSA-3072 pair made inside the token that joins. Whose it is nobody can see: an
// administrator compares its fingerprint on both sides.
//
// New keys are not used until CryptoModule::UseGenerations; a ceremony that was cut off leaves keys that
// nobody uses, and the next one takes another number.
//
// One ceremony at a time; others wait. Errors of all: kTokenUnavailable (one of the tokens is away: all must
// be there), kToken, kUnsupported, kIntegrity (a token did not keep what it was given).
#pragma once

#include <string>

#include "base/result.h"
#include "hsm/crypto_module.h"

namespace skms::hsm {

/// SHA-256 of the join key's SubjectPublicKeyInfo, in hex.
struct JoinKey {
  TokenInfo token;
  std::string fingerprint;
};

class TokenCeremony {
 public:
  /// Borrows the module.
  explicit TokenCeremony(CryptoModule& module) : module_(module) {}

  /// On the side of the token that joins, by whoever has its PIN: makes the join key where there is none.
  /// Errors: also those of CryptoModule::ProbeToken; kConflict: the token holds keys of ours already.
  static Result<JoinKey> Prepare(const TokenOptions& options, const SecretBytes& pin);

  /// Generation n of KEK and MAC key in every token; the others stay. `above`: n is greater than it, and than
  /// what the tokens hold.
  Result<TokenKeyGenerations> MakeNext(std::uint32_t above);

  /// The join key of the token with that label, as this process sees it. Errors: kNotFound (no such token in
  /// the configuration, or no join key: run `skmsctl token prepare`), kConflict (it has joined).
  Result<JoinKey> ShowJoinKey(const std::string& label);
  /// Generation n of each of our keys, in every token and in the one that joins, which serves from then on
  /// for what is made with them. A join that was cut off after every token had the keys is gone on with.
  /// Errors: as ShowJoinKey; kPreconditionFailed: the fingerprint is another; kConflict: also where keys of
  /// ours lie in it, or one of the others lacks keys in use.
  Result<TokenKeyGenerations> Join(const std::string& label, const std::string& fingerprint,
                                   std::uint32_t above);

  /// Destroys every generation before `keep` in every token, after which what is wrapped under them, or has
  /// their MAC, is lost: the caller has seen that nothing is. Public signing keys stay. What was destroyed.
  Result<HeldGenerations> DestroyBefore(const TokenKeyGenerations& keep);

 private:
  CryptoModule& module_;
};

}  // namespace skms::hsm
