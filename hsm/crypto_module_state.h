// What a CryptoModule is made of; shared by the files that implement its verbs.
#pragma once

#include <memory>
#include <mutex>

#include "hsm/crypto_module.h"
#include "hsm/openssl_keys.h"
#include "hsm/token.h"
#include "hsm/token_keys.h"

namespace skms::hsm {

class CryptoModule::State {
 public:
  State(std::unique_ptr<Token> opened, Capabilities found, TokenKeys resolved)
      : token(std::move(opened)), capabilities(std::move(found)), keys(std::move(resolved)) {}

  /// The recipient key of Reveal, made on first use: RSA, in this process only.
  Result<EVP_PKEY*> RevealKey();

  const std::unique_ptr<Token> token;
  const Capabilities capabilities;
  const TokenKeys keys;

 private:
  std::mutex reveal_mutex_;
  PkeyPtr reveal_key_;
};

}  // namespace skms::hsm
