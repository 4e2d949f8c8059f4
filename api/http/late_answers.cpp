#include "api/http/late_answers.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/thread_priority.h"

namespace skms::http {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

LateAnswers::LateAnswers(milliseconds most, milliseconds hangs) : most_(most), hangs_(hangs) {
  if (most_.count() > 0) thread_ = std::thread([this] { Watch(); });
}

LateAnswers::~LateAnswers() {
  End();
  if (thread_.joinable()) thread_.join();
}

void LateAnswers::End() {
  Lock lock(mutex_);
  stop_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return runs_ == 0; });
}

void LateAnswers::Watch() {
  const auto tick = std::clamp(std::min(most_, hangs_) / 20, milliseconds(5), milliseconds(100));
  Lock lock(mutex_);
  while (!stop_) {
    RunAgainWhatHangs();
    // It looks from time to time: to be woken by each request would cost every one of them.
    if (at_work_.empty() || at_work_.front()->due_ > steady_clock::now()) {
      changed_.wait_for(lock, tick, [this] { return stop_; });
      continue;
    }
    Pending& late = *at_work_.front();
    AnswerFor(lock, late, late.answer_);
  }
}

void LateAnswers::AnswerFor(Lock& lock, Pending& pending, const Answer& answer) {
  at_work_.erase(pending.place_);
  pending.state_ = Pending::State::kAnswering;
  lock.unlock();
  answer();
  lock.lock();
  pending.state_ = Pending::State::kAnswered;
  changed_.notify_all();
}

/// Under the mutex.
void LateAnswers::RunAgainWhatHangs() {
  const auto now = steady_clock::now();
  for (Pending* pending : at_work_) {
    if (pending->due_ - most_ + hangs_ > now || runs_ >= kMostRuns) return;
    if (pending->again_ && pending->call_.Inside(now) >= hangs_) StartRun(*pending);
  }
}

void LateAnswers::StartRun(Pending& pending) {
  const MakeRun make = std::exchange(pending.again_, {});
  try {
    Run run = make();
    if (!run) return;
    pending.self_ = std::make_shared<Pending*>(&pending);
    std::thread([this, run = std::move(run), self = pending.self_, place = pending.call_.place()]() mutable {
      RunAgain(std::move(run), place, self);
    }).detach();
    ++runs_;
  } catch (const std::exception& error) {
    LogWarning(std::string("transport: a request that hangs cannot be run again: ") + error.what());
  }
}

void LateAnswers::RunAgain(Run run, const void* hangs_in, const std::shared_ptr<Pending*>& pending) {
  PlaceToAvoid() = hangs_in;
  LowerPriority(ThreadPriority::kRequests);
  Answer answer;
  try {
    answer = run();
  } catch (const std::exception& error) {
    LogWarning(std::string("transport: a request that was run again failed: ") + error.what());
  }
  run = {};
  Lock lock(mutex_);
  if (answer && *pending != nullptr && (*pending)->state_ == Pending::State::kAtWork)
    AnswerFor(lock, **pending, answer);
  answer = {};
  --runs_;
  // Under the mutex: whoever waits for the last run destroys the condition.
  changed_.notify_all();
}

LateAnswers::Pending::Pending(LateAnswers& owner, Answer answer, MakeRun again)
    : owner_(owner),
      answer_(std::move(answer)),
      again_(std::move(again)),
      due_(steady_clock::now() + owner.most_) {
  if (owner_.most_.count() == 0) return;
  const std::lock_guard lock(owner_.mutex_);
  place_ = owner_.at_work_.insert(owner_.at_work_.end(), this);
}

bool LateAnswers::Pending::Begin() {
  if (owner_.most_.count() == 0) return true;
  const std::lock_guard lock(owner_.mutex_);
  if (state_ == State::kAtWork) {
    owner_.at_work_.erase(place_);
    state_ = State::kBegun;
  }
  return state_ == State::kBegun;
}

LateAnswers::Pending::~Pending() {
  if (owner_.most_.count() == 0) return;
  Lock lock(owner_.mutex_);
  if (state_ == State::kAtWork) owner_.at_work_.erase(place_);
  // The connection is still being written to.
  owner_.changed_.wait(lock, [this] { return state_ != State::kAnswering; });
  if (self_) *self_ = nullptr;
}

}  // namespace skms::http
