#include "api/http/late_answers.h"

#include <algorithm>
#include <utility>

namespace skms::http {

using std::chrono::steady_clock;

LateAnswers::LateAnswers(std::chrono::milliseconds most) : most_(most) {
  if (most_.count() > 0) thread_ = std::thread([this] { Watch(); });
}

LateAnswers::~LateAnswers() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LateAnswers::Watch() {
  const auto tick = std::clamp(most_ / 20, std::chrono::milliseconds(5), std::chrono::milliseconds(100));
  std::unique_lock lock(mutex_);
  while (!stop_) {
    // It looks from time to time: to be woken by each request would cost every one of them.
    if (at_work_.empty() || at_work_.front()->due_ > steady_clock::now()) {
      changed_.wait_for(lock, tick, [this] { return stop_; });
      continue;
    }
    Pending& late = *at_work_.front();
    at_work_.pop_front();
    late.state_ = Pending::State::kAnswering;
    lock.unlock();
    late.answer_();
    lock.lock();
    late.state_ = Pending::State::kAnswered;
    changed_.notify_all();
  }
}

LateAnswers::Pending::Pending(LateAnswers& owner, std::function<void()> answer)
    : owner_(owner), answer_(std::move(answer)), due_(steady_clock::now() + owner.most_) {
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
  std::unique_lock lock(owner_.mutex_);
  if (state_ == State::kAtWork) owner_.at_work_.erase(place_);
  // The connection is still being written to.
  owner_.changed_.wait(lock, [this] { return state_ != State::kAnswering; });
}

}  // namespace skms::http
