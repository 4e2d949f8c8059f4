// TokenKeeper: keeps a token open through losses. A lost token is given up, closed once no call is inside the
// module, and opened again with back-off by one thread, without an end; verbs wait a short while for it and
// then fail.
//
// What counts as a loss is said in token_error.h (TroubleIn). A token in doubt (CKR_DEVICE_ERROR and its
// like) is tried first. A PIN that was refused is never sent again: the keeper waits until the PIN source
// gives another.
//
// Thread-safe. Verbs must have ended before it is destroyed; one that never comes back out of the module
// keeps its token from being closed, not the process from ending.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/digest.h"
#include "hsm/open_token.h"

namespace skms::hsm {

using OpenTokenPtr = std::shared_ptr<const OpenToken>;

class TokenKeeper {
 public:
  /// The first opening is the caller's to wait for. Errors: as CryptoModule::Open.
  static Result<std::unique_ptr<TokenKeeper>> Open(const TokenOptions& options, PinSource pin,
                                                   MissingKeys missing);
  TokenKeeper(const TokenKeeper&) = delete;
  TokenKeeper& operator=(const TokenKeeper&) = delete;
  ~TokenKeeper();

  /// The open token. Waits at most `session_wait` for one that is being opened again. Errors:
  /// kTokenUnavailable.
  Result<OpenTokenPtr> Current();

  /// Runs a verb, `Result<T>(const OpenToken&)`, and once more if the token failed under it: verbs leave only
  /// session objects behind, so that another run harms nothing. Codes that mean a bad token as well as a bad
  /// blob (CKR_GENERAL_ERROR from an unwrap) are believed to be the blob's when the token works with keys of
  /// its own and the verb still fails.
  template <typename Verb>
  auto Run(Verb verb) -> decltype(verb(std::declval<const OpenToken&>())) {
    for (int attempt = 1;; ++attempt) {
      SKMS_TRY(const OpenTokenPtr open, Current());
      auto result = verb(*open);
      if (result.has_value()) return result;
      const Error& error = result.error();
      const bool doubtful = TroubleIn(error.rv) != Trouble::kNone;
      if (!doubtful && error.code != ErrorCode::kTokenUnavailable) return result;
      if (attempt == 1) continue;
      const bool blames_blob =
          error.code == ErrorCode::kIntegrity || error.code == ErrorCode::kInvalidArgument;
      if (!blames_blob) return Unavailable(error);
      if (attempt == 3) return result;
      if (open->Prove().has_error()) return Unavailable(error);
    }
  }

  KnownToken known() const;
  TokenKeyGenerations generations() const;
  TokenHealth health() const;
  CryptoModule::SessionUse session_use() const;

 private:
  TokenKeeper(const TokenOptions& options, PinSource pin) : options_(options), pin_(std::move(pin)) {}
  using Lock = std::unique_lock<std::mutex>;

  static Error Unavailable(const Error& error);
  TroubleReport Reporter();
  void Report(const Token& token, Trouble trouble, const Error& error);
  void Lose(const Error& error);
  void Keep();
  void TryDoubted(Lock& lock);
  void Recover(Lock& lock);
  void WaitUntilUnused(Lock& lock);
  Result<OpenTokenPtr> TryOpen();

  const TokenOptions options_;
  const PinSource pin_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  OpenTokenPtr current_;  ///< null while the token is lost
  OpenTokenPtr former_;   ///< given up, not yet closed
  KnownToken known_;
  TokenHealth health_;
  bool doubted_ = false;
  bool waiting_helps_ = false;  ///< the first try of a recovery has not failed yet
  bool stop_ = false;
  std::optional<Sha256Digest> refused_pin_;
  std::thread thread_;
};

}  // namespace skms::hsm
