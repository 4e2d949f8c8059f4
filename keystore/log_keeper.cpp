#include "keystore/log_keeper.h"

#include <chrono>
#include <utility>

#include "base/thread_priority.h"

namespace skms::keystore {
namespace {

constexpr int kManyCommits = 2000;
constexpr std::chrono::seconds kFewCommitsFor{5};
constexpr std::chrono::seconds kLongest{30};
constexpr int kLongLog = 12000;  // pages, 48 MiB

}  // namespace

Status LogKeeper::Start() {
  if (!connections_.engine().is_file()) return Ok();
  SKMS_TRYV(connections_.Begin(connection_, Connections::Use::kRead));
  thread_ = std::thread([this] { Loop(); });
  return Ok();
}

void LogKeeper::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  connections_.Close(connection_);
}

void LogKeeper::HaveCommitted() {
  bool enough = false;
  {
    const std::lock_guard lock(mutex_);
    ++commits_;
    enough = commits_ == 1 || commits_ == kManyCommits;
  }
  if (enough) wake_.notify_one();
}

void LogKeeper::Loop() {
  LowerPriority(ThreadPriority::kBackground);
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || commits_ > 0; });
      wake_.wait_for(lock, kFewCommitsFor, [this] { return stop_ || commits_ >= kManyCommits; });
      if (stop_) return;
      commits_ = 0;
    }
    Move();
  }
}

void LogKeeper::Move() {
  // What fails (no room) is tried again after the next commits, and by SQLite itself in a log that gets very
  // long; nothing is lost meanwhile.
  const auto move = [this](soci::session& session) -> Status {
    log_pages_ = connections_.engine().MoveLog(session);
    return Ok();
  };
  {
    const std::lock_guard lock(moving_);
    const Status moved = connections_.Guarded(move, *connection_, kLongest);
    connections_.Settle(*connection_);
    if (moved.has_error() || log_pages_ < kLongLog) return;
  }
  (void)on_writer_(move).has_value();
}

}  // namespace skms::keystore
