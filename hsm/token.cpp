#include "hsm/token.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "hsm/token_error.h"
#include "hsm/token_presence.h"

namespace skms::hsm {
namespace {

template <std::size_t N>
std::string Trimmed(const CK_UTF8CHAR (&field)[N]) {
  std::string text(reinterpret_cast<const char*>(field), N);
  const std::size_t last = text.find_last_not_of(std::string(" \0", 2));
  text.resize(last == std::string::npos ? 0 : last + 1);
  return text;
}

struct Found {
  CK_SLOT_ID slot = 0;
  CK_TOKEN_INFO info{};
};

std::string Wanted(const TokenOptions& options) {
  return "token '" + options.label + "'" + (options.serial.empty() ? "" : " serial " + options.serial);
}

Result<Found> FindToken(const Module& module, const TokenOptions& options) {
  SKMS_TRY(const std::vector<CK_SLOT_ID> slots, module.SlotsWithToken());
  std::vector<Found> matches;
  std::string seen;
  for (const CK_SLOT_ID slot : slots) {
    Found candidate{slot, {}};
    // A slot whose token cannot be read (being removed, or damaged) is not ours; the others still count.
    if (module->C_GetTokenInfo(slot, &candidate.info) != CKR_OK) continue;
    const std::string label = Trimmed(candidate.info.label);
    if (!label.empty()) seen += (seen.empty() ? "" : ", ") + ("'" + label + "'");
    if (label != options.label) continue;
    if (!options.serial.empty() && Trimmed(candidate.info.serialNumber) != options.serial) continue;
    matches.push_back(candidate);
  }
  if (matches.size() > 1) {
    return Error{ErrorCode::kTokenAmbiguous,
                 "more than one " + Wanted(options) + "; set token.serial to tell them apart"};
  }
  if (matches.empty()) {
    return Error{ErrorCode::kTokenNotFound, "no " + Wanted(options) + "; the module shows " +
                                                (seen.empty() ? "no labelled token" : seen)};
  }
  return matches.front();
}

Status CheckUsable(const CK_TOKEN_INFO& info, const TokenOptions& options, LoginAs role) {
  if ((info.flags & CKF_TOKEN_INITIALIZED) == 0 || (info.flags & CKF_USER_PIN_INITIALIZED) == 0) {
    return Error{
        ErrorCode::kTokenBlank,
        Wanted(options) + " is not initialised; initialise it with its maker's tool (skms never does)"};
  }
  if (role == LoginAs::kSecurityOfficer) {
    if ((info.flags & (CKF_SO_PIN_LOCKED | CKF_SO_PIN_FINAL_TRY)) == 0) return Ok();
    return Error{ErrorCode::kPinIncorrect,
                 Wanted(options) + ": the security officer's PIN is locked, or one try from it"};
  }
  if ((info.flags & CKF_USER_PIN_LOCKED) != 0) {
    return Error{ErrorCode::kPinIncorrect,
                 Wanted(options) + ": the user PIN is locked; unlock it as its security officer"};
  }
  if ((info.flags & CKF_USER_PIN_FINAL_TRY) != 0) {
    return Error{
        ErrorCode::kPinIncorrect,
        Wanted(options) + ": only one PIN try is left; log in once by hand with the right PIN first"};
  }
  return Ok();
}

TokenInfo InfoFrom(const CK_TOKEN_INFO& info) {
  TokenInfo out;
  out.label = Trimmed(info.label);
  out.serial = Trimmed(info.serialNumber);
  out.manufacturer = Trimmed(info.manufacturerID);
  out.model = Trimmed(info.model);
  out.firmware =
      std::to_string(info.firmwareVersion.major) + "." + std::to_string(info.firmwareVersion.minor);
  const bool told = info.ulMaxRwSessionCount != CK_UNAVAILABLE_INFORMATION &&
                    info.ulMaxRwSessionCount != CK_EFFECTIVELY_INFINITE;
  out.max_sessions = told && info.ulMaxRwSessionCount < 1000000 ? info.ulMaxRwSessionCount : 0;
  return out;
}

/// Closing what a lost token had says only that it is lost.
bool TellsNews(CK_RV rv) { return rv != CKR_OK && TroubleIn(rv) == Trouble::kNone; }

}  // namespace

SessionLease::SessionLease(SessionLease&& other) noexcept
    : token_(std::exchange(other.token_, nullptr)),
      handle_(other.handle_),
      since_(other.since_),
      spoilt_(other.spoilt_) {}

SessionLease::~SessionLease() {
  if (token_ != nullptr) token_->Return(handle_, spoilt_, since_);
}

ModuleCall SessionLease::p11() const { return token_->Call(); }

Status SessionLease::Check(std::string_view function, CK_RV rv) {
  if (rv == CKR_OK) return Ok();
  spoilt_ = spoilt_ || KillsSession(rv);
  return token_->Reported(function, rv);
}

Error Token::Reported(std::string_view function, CK_RV rv) const {
  Error error = TokenError(function, rv);
  const Trouble trouble = TroubleIn(rv);
  if (trouble != Trouble::kNone && report_) report_(*this, trouble, error);
  return error;
}

Token::Token(std::shared_ptr<Module> module, CK_SLOT_ID slot, TokenInfo info, const TokenOptions& options,
             TroubleReport report)
    : module_(std::move(module)),
      slot_(slot),
      info_(std::move(info)),
      wait_(options.session_wait),
      report_(std::move(report)),
      limit_(options.max_sessions) {
  // One session is the anchor's; a token that tells less than it has is believed.
  if (info_.max_sessions > 1) limit_ = std::min<std::size_t>(limit_, info_.max_sessions - 1);
  limit_ = std::max<std::size_t>(limit_, 1);
}

Result<std::unique_ptr<Token>> Token::Open(const TokenOptions& options, const SecretBytes& pin,
                                           TroubleReport report, LoginAs role) {
  if (options.max_sessions < 1 || options.max_sessions > 1024) {
    return ConfigurationError("token.max_sessions must be 1 to 1024");
  }
  SKMS_TRY(std::shared_ptr<Module> module, Module::Share(options.module_path, options.init_args));
  SKMS_TRY(const Found found, FindToken(*module, options));
  SKMS_TRYV(CheckUsable(found.info, options, role));
  if (!module->Claim(found.slot)) return Conflict(Wanted(options) + " is already in use by this process");
  std::unique_ptr<Token> token(
      new Token(std::move(module), found.slot, InfoFrom(found.info), options, std::move(report)));
  SKMS_TRYV(token->Login(pin, role));
  SKMS_TRYV(token->OpenPool());
  return token;
}

Result<TokenInfo> FindUsableToken(const TokenOptions& options) {
  SKMS_TRY(const std::shared_ptr<Module> module, Module::Share(options.module_path, options.init_args));
  SKMS_TRY(const Found found, FindToken(*module, options));
  SKMS_TRYV(CheckUsable(found.info, options, LoginAs::kUser));
  return InfoFrom(found.info);
}

Token::~Token() {
  for (const CK_SESSION_HANDLE handle : idle_) CloseSession(handle);
  if (anchor_ != CK_INVALID_HANDLE) {
    const CK_RV rv = (*module_)->C_Logout(anchor_);
    if (TellsNews(rv)) LogWarning(TokenError("C_Logout", rv).detail);
    CloseSession(anchor_);
  }
  module_->Release(slot_);
}

Status Token::Login(const SecretBytes& pin, LoginAs role) {
  SKMS_TRY(anchor_, OpenSession());
  SecretBytes copy = pin.Clone();  // PKCS#11 takes a pointer to non-const
  const CK_RV rv = (*module_)->C_Login(anchor_, role == LoginAs::kUser ? CKU_USER : CKU_SO,
                                       copy.ExposeForWriting().data(), copy.size());
  if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) return Ok();
  CloseSession(std::exchange(anchor_, CK_INVALID_HANDLE));
  Error error = TokenError("C_Login", rv);
  if (error.code == ErrorCode::kPinIncorrect && role == LoginAs::kSecurityOfficer) {
    error.detail += ": the token '" + info_.label +
                    "' refused the security officer's PIN; it was tried once, for a token may lock or erase "
                    "itself after few tries";
  } else if (error.code == ErrorCode::kPinIncorrect) {
    error.detail += ": the token '" + info_.label +
                    "' refused the PIN; it was tried once and is not tried again: correct "
                    "the PIN file before the next start, for a token may lock after few tries";
  }
  return error;
}

Status Token::OpenPool() {
  for (std::size_t i = 0; i < limit_; ++i) {
    auto session = OpenSession();
    if (session.has_error()) {
      // Tokens that do not tell their maximum show it here; two sessions are enough to serve.
      if (session.error().rv == CKR_SESSION_COUNT && idle_.size() >= 2) {
        LogWarning("token '" + info_.label + "' gives only " + std::to_string(idle_.size()) + " sessions");
        limit_ = idle_.size();
        return Ok();
      }
      return session.error();
    }
    idle_.push_back(session.value());
  }
  return Ok();
}

Result<CK_SESSION_HANDLE> Token::OpenSession() const {
  CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
  const OutsideCall outside(place());
  const CK_RV rv =
      (*module_)->C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &handle);
  if (rv != CKR_OK) return Reported("C_OpenSession", rv);
  return handle;
}

void Token::CloseSession(CK_SESSION_HANDLE handle) const noexcept {
  const OutsideCall outside(place());
  const CK_RV rv = (*module_)->C_CloseSession(handle);
  if (TellsNews(rv)) LogWarning(TokenError("C_CloseSession", rv).detail);
}

Result<SessionLease> Token::Lease() {
  std::unique_lock lock(mutex_);
  const auto at_hand = [this] { return !idle_.empty() || missing_ > 0; };
  if (at_hand()) {
    clock_.Waited(SessionClock::Steady::duration::zero());
  } else {
    const auto begun = SessionClock::Steady::now();
    returned_.wait_for(lock, wait_, at_hand);
    clock_.Waited(SessionClock::Steady::now() - begun);
    if (!at_hand()) {
      return Error{ErrorCode::kResourceExhausted,
                   "all " + std::to_string(limit_) + " token sessions are busy"};
    }
  }
  if (leased_++ == 0) progress_ = std::chrono::steady_clock::now();
  clock_.Leased();
  if (!idle_.empty()) {
    const CK_SESSION_HANDLE handle = idle_.back();
    idle_.pop_back();
    return SessionLease(*this, handle);
  }
  --missing_;
  lock.unlock();
  auto fresh = OpenSession();
  if (fresh.has_value()) return SessionLease(*this, fresh.value());
  lock.lock();
  --leased_;
  ++missing_;
  return fresh.error();
}

void Token::Return(CK_SESSION_HANDLE handle, bool spoilt, SessionClock::Steady::time_point since) noexcept {
  if (spoilt) CloseSession(handle);
  clock_.Held(SessionClock::Steady::now() - since);
  {
    const std::lock_guard lock(mutex_);
    --leased_;
    progress_ = std::chrono::steady_clock::now();
    if (spoilt) {
      ++missing_;
    } else {
      idle_.push_back(handle);
    }
  }
  returned_.notify_one();
}

bool Token::IsBusy() const {
  constexpr std::chrono::seconds kHangs{1};
  const std::lock_guard lock(mutex_);
  if (leased_ >= limit_) return true;
  return leased_ > 0 && std::chrono::steady_clock::now() - progress_ > kHangs;
}

CryptoModule::SessionUse Token::session_use() const {
  CryptoModule::SessionUse use;
  clock_.Tell(use);
  const std::lock_guard lock(mutex_);
  use.leased = leased_;
  use.limit = limit_;
  return use;
}

}  // namespace skms::hsm
