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
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/digest.h"
#include "hsm/crypto_module.h"
#include "hsm/key_group.h"
#include "hsm/open_token.h"

namespace skms::hsm {

using OpenTokenPtr = std::shared_ptr<const OpenToken>;

class TokenKeeper {
 public:
  /// The first opening is the caller's to wait for. Errors: as CryptoModule::Open.
  static Result<std::unique_ptr<TokenKeeper>> Open(TokenMember member, std::shared_ptr<KeyGroup> group,
                                                   MissingKeys missing);
  /// One that serves beside others: opened by the keeper's thread as one that was lost is, for as long as it
  /// takes, for it may hang inside the module.
  static std::unique_ptr<TokenKeeper> OpenBesideOthers(TokenMember member, std::shared_ptr<KeyGroup> group);
  /// Whether it was tried to open it.
  bool WaitForFirstTry(std::chrono::steady_clock::time_point until);
  /// Tells the thread to end.
  void BeginEnd();
  /// False: it has not by then, and this must not be destroyed.
  bool HasEnded(std::chrono::steady_clock::time_point until);
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

  /// The open token if `can(const KnownToken&)`; null: lost, or it cannot. Never waits.
  template <typename Can>
  OpenTokenPtr Serving(const Can& can) const {
    const std::lock_guard lock(mutex_);
    return current_ && can(current_->known) ? current_ : nullptr;
  }
  /// Whether a token that is lost could once it is back.
  template <typename Can>
  bool MayServe(const Can& can) const {
    const std::lock_guard lock(mutex_);
    return !known_ || can(*known_);
  }

  /// Finds the keys anew, after some were made or destroyed. Errors: kTokenUnavailable, kIntegrity, the
  /// token's.
  Status Refresh();
  /// What the security officer made or took away, on the token that is open; Ok for one that is not.
  Status RefreshStrict();
  /// What RefreshStrict would find, and does not take into use; nullptr where the token is not open.
  Result<std::shared_ptr<StrictObjects>> LookAtStrict();
  /// `work` with a token that is not open, logged in for it alone. Errors: kConflict (it is open), those of
  /// Token::Open, kUnsupported (it cannot be used), those of `work`.
  Status WithBareToken(const std::function<Status(Token&, const Capabilities&)>& work);
  /// Tries at once to open a token that is not, and says how that went.
  Status OpenNow();

  /// As it was opened last; nullopt: never.
  std::optional<KnownToken> known() const;
  TokenStatus status() const;
  TokenHealth health() const;
  /// Why it is not open; nullopt: it is.
  std::optional<Error> WhyNotOpen() const;
  const std::string& label() const { return member_.options.label; }
  std::uint32_t weight() const { return member_.weight; }
  CryptoModule::SessionUse session_use() const;

 private:
  TokenKeeper(TokenMember member, std::shared_ptr<KeyGroup> group)
      : member_(std::move(member)), group_(std::move(group)) {}
  using Lock = std::unique_lock<std::mutex>;

  static Error Unavailable(const Error& error);
  Error Explained(Error why) const;
  TroubleReport Reporter();
  void Report(const Token& token, Trouble trouble, const Error& error);
  void Lose(const Error& error);
  void Keep();
  void TryDoubted(Lock& lock);
  void Recover(Lock& lock);
  void WaitUntilUnused(Lock& lock);
  bool FormerIsUsed() const;
  Result<OpenTokenPtr> TryOpen();
  Result<OpenTokenPtr> Admitted(Result<OpenTokenPtr> opened);
  Result<SecretBytes> Pin();
  void TellAnswer(const Error* error, const SecretBytes& pin) const;
  void Refuse(const Error& error, const SecretBytes& pin);

  const TokenMember member_;
  const std::shared_ptr<KeyGroup> group_;

  std::timed_mutex opening_;  ///< held while the token is opened, or by who has it bare

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  OpenTokenPtr current_;             ///< null while the token is lost
  OpenTokenPtr former_;              ///< given up, not yet closed
  std::optional<KnownToken> known_;  ///< nullopt: it was never open
  TokenHealth health_;
  Error why_lost_;
  bool doubted_ = false;
  bool waiting_helps_ = false;  ///< the first try of a recovery has not failed yet
  bool beside_others_ = false;
  bool try_now_ = false;
  std::uint64_t tries_ = 0;
  bool stop_ = false;
  bool ended_ = false;  ///< the thread
  bool told_ = false;   ///< that it does not answer
  std::optional<Sha256Digest> refused_pin_;
  std::thread thread_;
};

}  // namespace skms::hsm
