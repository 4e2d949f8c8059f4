#include "hsm/token_keeper.h"

#include <algorithm>
#include <new>

#include "base/log.h"

namespace skms::hsm {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLastRetry{2000};
// A token in doubt is tried at most this often, whatever makes it look doubtful.
constexpr milliseconds kBetweenTries{500};
// One that was never open and lacks something that does not come by itself.
constexpr milliseconds kUntilMended{30000};

bool NeedsMending(ErrorCode code) {
  switch (code) {
    case ErrorCode::kTokenBlank:
    case ErrorCode::kUnsupported:
    case ErrorCode::kIntegrity:
    case ErrorCode::kConfiguration:
    case ErrorCode::kConflict:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<std::unique_ptr<TokenKeeper>> TokenKeeper::Open(TokenMember member, std::shared_ptr<KeyGroup> group,
                                                       MissingKeys missing) {
  std::unique_ptr<TokenKeeper> keeper(new TokenKeeper(std::move(member), std::move(group)));
  {
    SKMS_TRY(const SecretBytes first, keeper->member_.pin());
    auto opened = OpenToken::Open(keeper->member_.options, first, missing, keeper->Reporter());
    keeper->TellAnswer(opened.has_error() ? &opened.error() : nullptr, first);
    SKMS_TRY(keeper->current_, keeper->Admitted(std::move(opened)));
  }
  keeper->known_ = keeper->current_->known;
  keeper->health_ = {.available = true, .trouble = {}, .since = steady_clock::now(), .recoveries = 0};
  keeper->thread_ = std::thread([own = keeper.get()] { own->Keep(); });
  return keeper;
}

/// What to do about a token that serves beside others.
Error TokenKeeper::Explained(Error why) const {
  if (why.code == ErrorCode::kTokenBlank)
    why.detail = "it holds no keys of ours; let it join: skmsctl token prepare " + label();
  return why;
}

std::unique_ptr<TokenKeeper> TokenKeeper::OpenBesideOthers(TokenMember member,
                                                           std::shared_ptr<KeyGroup> group) {
  std::unique_ptr<TokenKeeper> keeper(new TokenKeeper(std::move(member), std::move(group)));
  keeper->beside_others_ = true;
  keeper->why_lost_ = {ErrorCode::kTokenUnavailable, "it has not answered since it was to be opened"};
  keeper->health_ = {
      .available = false, .trouble = keeper->why_lost_.detail, .since = steady_clock::now(), .recoveries = 0};
  keeper->thread_ = std::thread([own = keeper.get()] { own->Keep(); });
  return keeper;
}

bool TokenKeeper::WaitForFirstTry(steady_clock::time_point until) {
  Lock lock(mutex_);
  if (changed_.wait_until(lock, until, [this] { return tries_ > 0; })) return true;
  if (!told_) LogWarning("the token '" + label() + "' does not answer; it is taken in as soon as it does");
  told_ = true;
  return false;
}

void TokenKeeper::BeginEnd() {
  const Lock lock(mutex_);
  stop_ = true;
  changed_.notify_all();
}

bool TokenKeeper::HasEnded(steady_clock::time_point until) {
  Lock lock(mutex_);
  return !thread_.joinable() || changed_.wait_until(lock, until, [this] { return ended_; });
}

std::optional<Error> TokenKeeper::WhyNotOpen() const {
  const Lock lock(mutex_);
  if (current_) return std::nullopt;
  return why_lost_;
}

TokenKeeper::~TokenKeeper() {
  BeginEnd();
  if (thread_.joinable()) thread_.join();
  // A call that hangs in the module still uses it: it stays, for closing it would pull the module from under
  // it.
  for (OpenTokenPtr* open : {&current_, &former_}) {
    if (*open && open->use_count() > 1) static_cast<void>(new (std::nothrow) OpenTokenPtr(*open));
  }
}

Error TokenKeeper::Unavailable(const Error& error) {
  Error out = error;
  out.code = ErrorCode::kTokenUnavailable;
  return out;
}

TroubleReport TokenKeeper::Reporter() {
  return [this](const Token& token, Trouble trouble, const Error& error) { Report(token, trouble, error); };
}

Result<OpenTokenPtr> TokenKeeper::Current() {
  Lock lock(mutex_);
  if (!current_) {
    changed_.wait_for(lock, member_.options.session_wait,
                      [this] { return current_ || stop_ || !waiting_helps_; });
  }
  if (current_) return current_;
  return Error{ErrorCode::kTokenUnavailable, "the token is lost: " + health_.trouble};
}

std::optional<KnownToken> TokenKeeper::known() const {
  const Lock lock(mutex_);
  return known_;
}

TokenStatus TokenKeeper::status() const {
  const Lock lock(mutex_);
  TokenStatus status;
  status.info.label = member_.options.label;
  if (known_) status.info = known_->info;
  if (known_) status.held = known_->held;
  status.weight = member_.weight;
  status.health = health_;
  status.opened = known_.has_value();
  status.blank = !known_ && why_lost_.code == ErrorCode::kTokenBlank;
  const OpenTokenPtr& open = current_ ? current_ : former_;
  if (!open) return status;
  const CryptoModule::SessionUse use = open->token->session_use();
  status.leased = use.leased;
  status.sessions = use.limit;
  status.times = open->token->session_times();
  return status;
}

TokenHealth TokenKeeper::health() const {
  const Lock lock(mutex_);
  return health_;
}

CryptoModule::SessionUse TokenKeeper::session_use() const {
  const Lock lock(mutex_);
  const OpenTokenPtr& open = current_ ? current_ : former_;
  return open ? open->token->session_use() : CryptoModule::SessionUse{};
}

void TokenKeeper::Report(const Token& token, Trouble trouble, const Error& error) {
  {
    const Lock lock(mutex_);
    // What a former token says, or one that is being opened, is known.
    if (!current_ || current_->token.get() != &token) return;
    if (trouble == Trouble::kLost) {
      Lose(error);
    } else {
      doubted_ = true;
    }
  }
  changed_.notify_all();
}

/// Under the mutex.
void TokenKeeper::Lose(const Error& error) {
  LogError("the token '" + member_.options.label + "' is lost: " + error.Describe() + "; it is opened again");
  former_ = std::move(current_);
  current_ = nullptr;
  doubted_ = false;
  why_lost_ = error;
  waiting_helps_ = true;
  health_.available = false;
  health_.trouble = error.Describe();
  health_.since = steady_clock::now();
}

void TokenKeeper::Keep() {
  Lock lock(mutex_);
  while (!stop_) {
    changed_.wait(lock, [this] { return stop_ || doubted_ || !current_; });
    if (stop_) break;
    if (current_) {
      TryDoubted(lock);
    } else {
      Recover(lock);
    }
  }
  ended_ = true;
  changed_.notify_all();
}

void TokenKeeper::TryDoubted(Lock& lock) {
  doubted_ = false;
  {
    const OpenTokenPtr doubted = current_;
    lock.unlock();
    const Status works = doubted->Prove();
    lock.lock();
    // All sessions in use is a sign of life.
    const bool failed = works.has_error() && works.error().code != ErrorCode::kResourceExhausted;
    if (failed && current_ == doubted) Lose(works.error());
  }
  changed_.notify_all();
  if (current_) changed_.wait_for(lock, kBetweenTries, [this] { return stop_ || !current_; });
}

void TokenKeeper::WaitUntilUnused(Lock& lock) {
  const auto begun = steady_clock::now();
  bool told = false;
  while (!stop_ && FormerIsUsed()) {
    changed_.wait_for(lock, milliseconds(5), [this] { return stop_; });
    if (!told && steady_clock::now() - begun > std::chrono::seconds(5)) {
      told = true;
      waiting_helps_ = false;
      health_.trouble += "; a call does not come back from the module, which cannot be opened again before";
      LogError("the token '" + member_.options.label +
               "' cannot be opened again: a call is still inside the module");
      changed_.notify_all();
    }
  }
}

/// Calls may also have come by what was the open token before a Refresh.
bool TokenKeeper::FormerIsUsed() const {
  return former_ && (former_.use_count() > 1 || former_->token.use_count() > 1);
}

void TokenKeeper::Recover(Lock& lock) {
  WaitUntilUnused(lock);
  if (stop_) return;
  OpenTokenPtr unused = std::move(former_);
  former_ = nullptr;
  lock.unlock();
  unused.reset();
  milliseconds pause = kFirstRetry;
  for (;;) {
    auto opened = TryOpen();
    lock.lock();
    try_now_ = false;
    ++tries_;
    if (opened.has_value()) {
      const bool known_before = known_.has_value();
      current_ = std::move(opened).value();
      known_ = current_->known;
      const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - health_.since);
      health_ = {.available = true,
                 .trouble = {},
                 .since = steady_clock::now(),
                 .recoveries = health_.recoveries + (known_before ? 1 : 0)};
      LogInfo("the token '" + label() + (known_before ? "' is back" : "' is open") + " after " +
              std::to_string(took.count()) + " ms");
      changed_.notify_all();
      return;
    }
    const Error why = beside_others_ ? Explained(opened.error()) : opened.error();
    if (health_.trouble != why.Describe()) {
      health_.trouble = why.Describe();
      LogWarning("the token '" + member_.options.label + "' cannot be opened: " + health_.trouble);
    }
    why_lost_ = opened.error();
    waiting_helps_ = false;
    changed_.notify_all();
    pause = !known_ && NeedsMending(why_lost_.code) ? kUntilMended : std::min(pause, kLastRetry);
    changed_.wait_for(lock, pause, [this] { return stop_ || try_now_; });
    if (stop_) return;
    lock.unlock();
    pause = std::min(pause * 2, kLastRetry);
  }
}

Result<SecretBytes> TokenKeeper::Pin() {
  SKMS_TRY(SecretBytes pin, member_.pin());
  // No digest of a PIN that works: a PIN is short, and whoever found it could try them all.
  if (refused_pin_ && ConstantTimeEqual(*refused_pin_, Sha256(pin.ExposeSecret()))) {
    return Error{
        ErrorCode::kPinIncorrect,
        "the token refused the PIN, which is not tried again; put the right one where the daemon reads it"};
  }
  return pin;
}

/// nullptr: the token took it. A token may also say beforehand that it takes none; then it was not sent.
void TokenKeeper::TellAnswer(const Error* error, const SecretBytes& pin) const {
  if (!member_.answered) return;
  if (error == nullptr) return member_.answered(pin, true);
  if (error->code == ErrorCode::kPinIncorrect && error->rv != 0) member_.answered(pin, false);
}

/// Under opening_.
void TokenKeeper::Refuse(const Error& error, const SecretBytes& pin) {
  TellAnswer(&error, pin);
  if (error.code == ErrorCode::kPinIncorrect) refused_pin_ = Sha256(pin.ExposeSecret());
}

Result<OpenTokenPtr> TokenKeeper::Admitted(Result<OpenTokenPtr> opened) {
  if (opened.has_error()) return opened;
  if (member_.accept) SKMS_TRYV(member_.accept(opened.value()->capabilities));
  SKMS_TRYV(group_->Admit(*opened.value()));
  return opened;
}

/// By the keeper's thread alone.
Result<OpenTokenPtr> TokenKeeper::TryOpen() {
  const std::lock_guard alone(opening_);
  SKMS_TRY(const SecretBytes pin, Pin());
  const std::optional<KnownToken> former = known();
  auto opened = former ? OpenToken::Reopen(member_.options, pin, *former, Reporter())
                       : OpenToken::Open(member_.options, pin, MissingKeys::kRefuseUntried, Reporter());
  if (opened.has_value()) {
    refused_pin_.reset();
    TellAnswer(nullptr, pin);
  }
  if (opened.has_error()) Refuse(opened.error(), pin);
  return Admitted(std::move(opened));
}

Status TokenKeeper::Refresh() {
  SKMS_TRY(const OpenTokenPtr former, Current());
  SKMS_TRY(OpenTokenPtr fresh, Admitted(OpenToken::Refresh(*former)));
  const Lock lock(mutex_);
  if (current_ != former)
    return Error{ErrorCode::kTokenUnavailable, "the token '" + label() + "' was lost meanwhile"};
  current_ = std::move(fresh);
  known_ = current_->known;
  return Ok();
}

Result<std::shared_ptr<StrictObjects>> TokenKeeper::LookAtStrict() {
  OpenTokenPtr open;
  {
    const Lock lock(mutex_);
    open = current_;
  }
  if (!open) return std::shared_ptr<StrictObjects>();
  return StrictObjects::Resolve(*open->token, open->capabilities, open->keys.newest_transfer_public());
}

Status TokenKeeper::RefreshStrict() {
  OpenTokenPtr open;
  {
    const Lock lock(mutex_);
    open = current_;
  }
  if (!open) return Ok();
  SKMS_TRY(const auto newer,
           StrictObjects::Resolve(*open->token, open->capabilities, open->keys.newest_transfer_public()));
  SKMS_TRYV(group_->Admit(*open, *newer));
  open->strict->Become(*newer);
  return Ok();
}

Status TokenKeeper::WithBareToken(const std::function<Status(Token&, const Capabilities&)>& work) {
  const std::unique_lock alone(opening_, std::chrono::seconds(5));
  if (!alone) {
    return Error{
        ErrorCode::kTokenUnavailable,
        "the token '" + label() + "' is being opened, which takes long or hangs; see: skmsctl status"};
  }
  {
    const Lock lock(mutex_);
    if (current_ || former_) return Conflict("the token '" + label() + "' is in use already");
  }
  SKMS_TRY(const SecretBytes pin, Pin());
  auto token = Token::Open(member_.options, pin);
  if (token.has_error()) Refuse(token.error(), pin);
  if (token.has_error()) return token.error();
  SKMS_TRY(const Capabilities capabilities, ProbeUsable(*token.value()));
  if (member_.accept) SKMS_TRYV(member_.accept(capabilities));
  return work(*token.value(), capabilities);
}

Status TokenKeeper::OpenNow() {
  Lock lock(mutex_);
  if (current_) return Ok();
  // A try that is under way now may have begun too early.
  try_now_ = true;
  const std::uint64_t enough = tries_ + 2;
  for (;;) {
    changed_.notify_all();
    changed_.wait_for(lock, kFirstRetry, [&] { return current_ || stop_ || tries_ >= enough; });
    if (current_) return Ok();
    if (stop_ || tries_ >= enough) return beside_others_ ? Explained(why_lost_) : why_lost_;
    try_now_ = true;
  }
}

}  // namespace skms::hsm
