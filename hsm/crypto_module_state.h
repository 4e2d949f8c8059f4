// What a CryptoModule is made of; shared by the files that implement its verbs.
#pragma once

#include <memory>
#include <mutex>

#include "hsm/crypto_module.h"
#include "hsm/openssl_keys.h"
#include "hsm/token_set.h"

namespace skms::hsm {

class CryptoModule::State {
 public:
  explicit State(std::unique_ptr<TokenSet> tokens) : tokens_(std::move(tokens)), use_(tokens_->common()) {}

  /// `verb(const OpenToken&)` in a token of which `can(const KnownToken&)` holds, as TokenSet::Run.
  template <typename Can, typename Verb>
  auto Run(const Can& can, const Verb& verb) {
    return tokens_->Run(can, verb);
  }
  TokenSet& tokens() { return *tokens_; }

  TokenKeyGenerations use() const {
    const std::lock_guard lock(use_mutex_);
    return use_;
  }
  void Use(const TokenKeyGenerations& use) {
    const std::lock_guard lock(use_mutex_);
    use_ = use;
  }

  /// The strongest OAEP hash that each of the tokens has. Errors: kUnsupported: one has none.
  Result<OaepHash> CommonOaep() const;
  /// The recipient key of Reveal, made on first use: RSA, in this process only.
  Result<EVP_PKEY*> RevealKey();

  /// Held while token keys are made, shared or destroyed.
  std::mutex ceremony;

 private:
  const std::unique_ptr<TokenSet> tokens_;
  mutable std::mutex use_mutex_;
  TokenKeyGenerations use_;
  std::mutex reveal_mutex_;
  PkeyPtr reveal_key_;
};

// What a verb may need of a token.
inline auto HoldingKek(std::uint32_t generation) {
  return [generation](const KnownToken& token) { return token.held.kek.count(generation) > 0; };
}
inline auto HoldingMac(std::uint32_t generation) {
  return [generation](const KnownToken& token) { return token.held.mac.count(generation) > 0; };
}
/// The KEK that `key` is wrapped under, of either kind.
inline bool HoldsKekOf(const KnownToken& token, const WrappedKey& key) {
  if (key.format == kFormatTrusted) return token.strict->KekOf(key.kek_generation).has_value();
  return token.held.kek.count(key.kek_generation) > 0;
}
inline bool HasStrictKek(const KnownToken& token) { return token.strict->newest_generation() > 0; }
inline auto HoldingTransfer(std::uint32_t generation) {
  return [generation](const KnownToken& token) { return token.held.transfer.count(generation) > 0; };
}

}  // namespace skms::hsm
