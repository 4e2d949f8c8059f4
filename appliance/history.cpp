#include "appliance/history.h"

#include <chrono>
#include <utility>

#include "base/thread_priority.h"

namespace skms::appliance {
namespace {

constexpr std::chrono::minutes kMinute{1};

std::uint64_t More(std::uint64_t before, std::uint64_t now) { return now >= before ? now - before : now; }

}  // namespace

History::History(std::function<HistoryTotals()> read, const Clock& clock)
    : read_(std::move(read)), clock_(clock) {}

History::~History() { Stop(); }

void History::Start() {
  begun_ = read_();
  begun_at_ = clock_.NowSeconds();
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

admin::PageMinute History::Since(const HistoryTotals& before, const HistoryTotals& now) const {
  admin::PageMinute minute;
  minute.begun = begun_at_;
  minute.delivered = More(before.delivered, now.delivered);
  minute.refused = More(before.refused, now.refused);
  minute.failed = More(before.failed, now.failed);
  // A token that was opened again counts from nothing.
  const bool anew = now.token_calls < before.token_calls;
  const std::uint64_t calls = anew ? now.token_calls : now.token_calls - before.token_calls;
  const double seconds = anew ? now.token_seconds : now.token_seconds - before.token_seconds;
  if (calls > 0) minute.token_call_seconds = seconds / static_cast<double>(calls);
  minute.keys = now.keys;
  return minute;
}

std::vector<admin::PageMinute> History::Minutes() const {
  const HistoryTotals now = read_();
  const std::lock_guard lock(mutex_);
  std::vector<admin::PageMinute> all(minutes_.begin(), minutes_.end());
  all.push_back(Since(begun_, now));
  return all;
}

void History::Loop() {
  LowerPriority(ThreadPriority::kBackground);
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, kMinute, [this] { return stop_; })) return;
    }
    HistoryTotals now = read_();
    const std::lock_guard lock(mutex_);
    minutes_.push_back(Since(begun_, now));
    if (minutes_.size() > kMost) minutes_.pop_front();
    begun_ = std::move(now);
    begun_at_ = clock_.NowSeconds();
  }
}

}  // namespace skms::appliance
