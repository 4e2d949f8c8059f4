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

}  // namespace

Result<std::unique_ptr<TokenKeeper>> TokenKeeper::Open(const TokenOptions& options, PinSource pin,
                                                       MissingKeys missing) {
  std::unique_ptr<TokenKeeper> keeper(new TokenKeeper(options, std::move(pin)));
  {
    SKMS_TRY(const SecretBytes first, keeper->pin_());
    SKMS_TRY(keeper->current_, OpenToken::Open(options, first, missing, keeper->Reporter()));
  }
  keeper->known_ = keeper->current_->known;
  keeper->health_ = {.available = true, .trouble = {}, .since = steady_clock::now(), .recoveries = 0};
  keeper->thread_ = std::thread([own = keeper.get()] { own->Keep(); });
  return keeper;
}

TokenKeeper::~TokenKeeper() {
  {
    const Lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
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
    changed_.wait_for(lock, options_.session_wait, [this] { return current_ || stop_ || !waiting_helps_; });
  }
  if (current_) return current_;
  return Error{ErrorCode::kTokenUnavailable, "the token is lost: " + health_.trouble};
}

KnownToken TokenKeeper::known() const {
  const Lock lock(mutex_);
  return known_;
}

TokenKeyGenerations TokenKeeper::generations() const {
  const Lock lock(mutex_);
  return known_.generations;
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
  LogError("the token '" + options_.label + "' is lost: " + error.Describe() + "; it is opened again");
  former_ = std::move(current_);
  current_ = nullptr;
  doubted_ = false;
  waiting_helps_ = true;
  health_.available = false;
  health_.trouble = error.Describe();
  health_.since = steady_clock::now();
}

void TokenKeeper::Keep() {
  Lock lock(mutex_);
  while (!stop_) {
    changed_.wait(lock, [this] { return stop_ || doubted_ || !current_; });
    if (stop_) return;
    if (current_) {
      TryDoubted(lock);
    } else {
      Recover(lock);
    }
  }
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
  while (!stop_ && former_.use_count() > 1) {
    changed_.wait_for(lock, milliseconds(5), [this] { return stop_; });
    if (!told && steady_clock::now() - begun > std::chrono::seconds(5)) {
      told = true;
      waiting_helps_ = false;
      health_.trouble += "; a call does not come back from the module, which cannot be opened again before";
      LogError("the token '" + options_.label +
               "' cannot be opened again: a call is still inside the module");
      changed_.notify_all();
    }
  }
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
    if (opened.has_value()) {
      current_ = std::move(opened).value();
      known_ = current_->known;
      const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - health_.since);
      health_ = {.available = true,
                 .trouble = {},
                 .since = steady_clock::now(),
                 .recoveries = health_.recoveries + 1};
      LogInfo("the token '" + options_.label + "' is back after " + std::to_string(took.count()) + " ms");
      changed_.notify_all();
      return;
    }
    if (health_.trouble != opened.error().Describe()) {
      health_.trouble = opened.error().Describe();
      LogWarning("the token '" + options_.label + "' cannot be opened: " + health_.trouble);
    }
    waiting_helps_ = false;
    changed_.notify_all();
    if (changed_.wait_for(lock, pause, [this] { return stop_; })) return;
    lock.unlock();
    pause = std::min(pause * 2, kLastRetry);
  }
}

/// By the keeper's thread alone.
Result<OpenTokenPtr> TokenKeeper::TryOpen() {
  SKMS_TRY(const SecretBytes pin, pin_());
  // No digest of a PIN that works: a PIN is short, and whoever found it could try them all.
  if (refused_pin_ && ConstantTimeEqual(*refused_pin_, Sha256(pin.ExposeSecret()))) {
    return Error{
        ErrorCode::kPinIncorrect,
        "the token refused the PIN, which is not tried again; put the right one where the daemon reads it"};
  }
  KnownToken former = known();
  auto opened = OpenToken::Reopen(options_, pin, former, Reporter());
  if (opened.has_error() && opened.error().code == ErrorCode::kPinIncorrect)
    refused_pin_ = Sha256(pin.ExposeSecret());
  if (opened.has_value()) refused_pin_.reset();
  return opened;
}

}  // namespace skms::hsm
