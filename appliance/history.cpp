#include "appliance/history.h"

#include <chrono>
#include <utility>

#include "base/thread_priority.h"

namespace skms::appliance {
namespace {

constexpr std::chrono::minutes kMinute{1};

std::uint64_t More(std::uint64_t before, std::uint64_t now) { return now > before ? now - before : 0; }

}  // namespace

admin::PageMinute Between(const HistoryTotals& before, const HistoryTotals& now, std::int64_t begun) {
  admin::PageMinute minute;
  minute.begun = begun;
  minute.delivered = More(before.delivered, now.delivered);
  minute.refused = More(before.refused, now.refused);
  minute.failed = More(before.failed, now.failed);
  HistoryTotals::Calls all;
  for (const auto& [label, calls] : now.tokens) {
    const auto known = before.tokens.find(label);
    HistoryTotals::Calls former = known == before.tokens.end() ? HistoryTotals::Calls{} : known->second;
    if (calls.count < former.count || calls.seconds < former.seconds) former = {};
    all.count += calls.count - former.count;
    all.seconds += calls.seconds - former.seconds;
  }
  if (all.count > 0) minute.token_call_seconds = all.seconds / static_cast<double>(all.count);
  minute.keys = now.keys;
  return minute;
}

History::History(std::function<HistoryTotals()> read, const Clock& clock)
    : read_(std::move(read)), clock_(clock) {}

History::~History() { Stop(); }

void History::Start() {
  {
    const std::lock_guard lock(mutex_);
    begun_ = read_();
    begun_at_ = clock_.NowSeconds();
    started_ = true;
  }
  thread_ = std::thread([this] { Loop(); });
}

void History::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void History::Turn() {
  // Read under the lock: who looks meanwhile must not see a minute that begins after he looked.
  const std::lock_guard lock(mutex_);
  HistoryTotals now = read_();
  minutes_.push_back(Between(begun_, now, begun_at_));
  if (minutes_.size() > kMost) minutes_.pop_front();
  begun_ = std::move(now);
  begun_at_ = clock_.NowSeconds();
}

std::vector<admin::PageMinute> History::Minutes() const {
  const std::lock_guard lock(mutex_);
  if (!started_) return {};
  std::vector<admin::PageMinute> all(minutes_.begin(), minutes_.end());
  all.push_back(Between(begun_, read_(), begun_at_));
  return all;
}

void History::Loop() {
  LowerPriority(ThreadPriority::kBackground);
  auto next = std::chrono::steady_clock::now() + kMinute;
  for (;; next += kMinute) {
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_until(lock, next, [this] { return stop_; })) return;
    }
    Turn();
  }
}

}  // namespace skms::appliance
