// Token: one token of a module, found by label, with its one login and its bounded pool of sessions.
//
// The login is per application and token (PKCS#11 2.40 6.7.4), so the Token owns it, through an anchor
// session that stays open for its whole life; pooled sessions come and go without touching it. Thread-safe.
// Must outlive every SessionLease.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/outside_call.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "hsm/crypto_module.h"
#include "hsm/module.h"
#include "hsm/pkcs11_api.h"
#include "hsm/session_clock.h"
#include "hsm/token_error.h"
#include "hsm/token_values.h"

namespace skms::hsm {

class Token;

/// The security officer sees and makes objects that are not PRIVATE, and alone may mark them TRUSTED (PKCS#11
/// 2.40 4.4).
enum class LoginAs { kUser, kSecurityOfficer };

/// Called by whatever thread met the trouble, which may hold a lease; must not call back into the token.
using TroubleReport = std::function<void(const Token&, Trouble, const Error&)>;

/// One call into the module, counted and timed: `token.Call()->C_Sign(…)`. Lives to the end of that
/// expression.
class ModuleCall {
 public:
  ModuleCall(const Module& module, SessionClock& clock) : module_(module), clock_(clock) {}
  ModuleCall(const ModuleCall&) = delete;
  ModuleCall& operator=(const ModuleCall&) = delete;
  ~ModuleCall() { clock_.Called(SessionClock::Steady::now() - begun_); }
  CK_FUNCTION_LIST* operator->() const { return module_.operator->(); }

 private:
  const Module& module_;
  SessionClock& clock_;
  const SessionClock::Steady::time_point begun_ = SessionClock::Steady::now();
  const OutsideCall outside_{&clock_, begun_};
};

/// A session for one verb. Goes back to the pool when it dies, or is replaced if a call on it failed in a way
/// that leaves its state unknown. Move-only; one thread.
class SessionLease {
 public:
  SessionLease(Token& token, CK_SESSION_HANDLE handle)
      : token_(&token), handle_(handle), since_(SessionClock::Steady::now()) {}
  SessionLease(const SessionLease&) = delete;
  SessionLease& operator=(const SessionLease&) = delete;
  SessionLease(SessionLease&& other) noexcept;
  SessionLease& operator=(SessionLease&&) = delete;
  ~SessionLease();

  CK_SESSION_HANDLE handle() const { return handle_; }
  ModuleCall p11() const;
  /// Ok, or TokenError; remembers that the session is spoilt when `rv` says so.
  Status Check(std::string_view function, CK_RV rv);
  /// The error for an unwrap of a blob that is not ours or was changed: modules report it as all kinds of
  /// CKR_.
  void Spoil() { spoilt_ = true; }

 private:
  Token* token_;
  CK_SESSION_HANDLE handle_;
  SessionClock::Steady::time_point since_;
  bool spoilt_ = false;
};

class Token {
 public:
  /// Finds the token, logs in once, opens the pool. Errors as CryptoModule::Open.
  static Result<std::unique_ptr<Token>> Open(const TokenOptions& options, const SecretBytes& pin,
                                             TroubleReport report = {}, LoginAs role = LoginAs::kUser);
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;
  ~Token();

  /// Waits at most `session_wait`. Errors: kResourceExhausted, kTokenUnavailable (no session can be opened).
  Result<SessionLease> Lease();

  ModuleCall Call() const { return {*module_, clock_}; }
  const TokenInfo& info() const { return info_; }
  /// The session that stays open as long as the token, and the objects made on it with it. One thread at a
  /// time: lock `anchor_use`. A session that turns out dead means that the token is lost.
  CK_SESSION_HANDLE anchor() const { return anchor_; }
  std::mutex& anchor_use() const { return anchor_use_; }
  /// TokenError, after the report of what it says of the token. `rv` is not CKR_OK.
  Error Reported(std::string_view function, CK_RV rv) const;
  CryptoModule::SessionUse session_use() const;
  SessionTimes session_times() const { return clock_.times(); }
  /// Every session is leased, or none of those that are came back for a second.
  bool IsBusy() const;
  /// What OutsideCall calls it.
  const void* place() const { return &clock_; }

 private:
  friend class SessionLease;
  Token(std::shared_ptr<Module> module, CK_SLOT_ID slot, TokenInfo info, const TokenOptions& options,
        TroubleReport report);
  Status Login(const SecretBytes& pin, LoginAs role);
  Status OpenPool();
  Result<CK_SESSION_HANDLE> OpenSession() const;
  void CloseSession(CK_SESSION_HANDLE handle) const noexcept;
  void Return(CK_SESSION_HANDLE handle, bool spoilt, SessionClock::Steady::time_point since) noexcept;

  const std::shared_ptr<Module> module_;
  const CK_SLOT_ID slot_;
  const TokenInfo info_;
  const std::chrono::milliseconds wait_;
  const TroubleReport report_;
  std::size_t limit_;
  CK_SESSION_HANDLE anchor_ = CK_INVALID_HANDLE;
  mutable std::mutex anchor_use_;
  mutable SessionClock clock_;

  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<CK_SESSION_HANDLE> idle_;
  std::size_t leased_ = 0;
  std::chrono::steady_clock::time_point progress_{};  ///< one came back, or the first of them was leased
  std::size_t missing_ = 0;  ///< sessions that died and could not be replaced at once
};

}  // namespace skms::hsm
