// What a CryptoModule is made of; shared by the files that implement its verbs.
#pragma once

#include <memory>
#include <mutex>

#include "hsm/crypto_module.h"
#include "hsm/openssl_keys.h"
#include "hsm/token_keeper.h"

namespace skms::hsm {

class CryptoModule::State {
 public:
  explicit State(std::unique_ptr<TokenKeeper> keeper) : keeper_(std::move(keeper)) {}

  /// `verb(const OpenToken&)`, as TokenKeeper::Run.
  template <typename Verb>
  auto Run(Verb verb) {
    return keeper_->Run(verb);
  }
  TokenKeeper& keeper() { return *keeper_; }

  /// The recipient key of Reveal, made on first use: RSA, in this process only.
  Result<EVP_PKEY*> RevealKey();

 private:
  const std::unique_ptr<TokenKeeper> keeper_;
  std::mutex reveal_mutex_;
  PkeyPtr reveal_key_;
};

}  // namespace skms::hsm
