#include "keystore/log_keeper.h"

#include <chrono>
#include <utility>

#include "base/log.h"
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
  SKMS_TRYV(connections_.Begin(mover_, Connections::Use::kRead));
  SKMS_TRYV(connections_.Begin(watcher_, Connections::Use::kRead));
  {
    const std::lock_guard lock(mutex_);
    runs_ = true;
  }
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
  connections_.Close(mover_);
  connections_.Close(watcher_);
}

void LogKeeper::HaveCommitted() {
  bool enough = false;
  {
    const std::lock_guard lock(mutex_);
    if (!runs_ || commits_ == kManyCommits) return;
    ++commits_;
    enough = commits_ == 1 || commits_ == kManyCommits;
  }
  if (enough) wake_.notify_one();
}

Status LogKeeper::Empty(const DatabaseWork& empty) {
  const std::lock_guard alone(moving_);
  // What fails here fails there as well, and is told.
  (void)MoveBesideWriter().has_value();
  return on_writer_(empty);
}

void LogKeeper::Loop() {
  LowerPriority(ThreadPriority::kBackground);
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || commits_ > 0; });
      wake_.wait_for(lock, kFewCommitsFor, [this] { return stop_ || commits_ >= kManyCommits; });
      if (stop_) return;
    }
    Move();
  }
}

/// What fails (no room) is tried again after the next commits; nothing is lost meanwhile.
void LogKeeper::Move() {
  const std::lock_guard alone(moving_);
  Status moved = MoveBesideWriter();
  if (moved.has_value() && log_pages_ >= kLongLog) {
    moved = on_writer_([this](soci::session& session) -> Status {
      connections_.engine().MoveLog(session);
      return Ok();
    });
  }
  if (moved.has_error())
    LogWarning("the store: its log grows, for what is committed cannot be moved into the file: " +
               moved.error().Describe());
}

/// Under moving_.
Status LogKeeper::MoveBesideWriter() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(commits_, 0) == 0) return Ok();
  }
  const auto end = [this](soci::session& watching) -> Status {
    connections_.engine().EndSnapshot(watching);
    return Ok();
  };
  Status moved = connections_.Guarded(
      [&](soci::session& watching) -> Status {
        connections_.engine().BeginSnapshot(watching, false);
        // It looks at the database from its first statement on.
        (void)connections_.engine().HasTable(watching, "meta");
        SKMS_TRYV(MoveWatched());
        return end(watching);
      },
      *watcher_, kLongest);
  // It must not look for ever.
  if (moved.has_error()) (void)connections_.Guarded(end, *watcher_, kLongest).has_value();
  connections_.Settle(*watcher_);
  return moved;
}

Status LogKeeper::MoveWatched() {
  Status moved = connections_.Guarded(
      [this](soci::session& session) -> Status {
        log_pages_ = connections_.engine().MoveLog(session);
        return Ok();
      },
      *mover_, kLongest);
  connections_.Settle(*mover_);
  return moved;
}

}  // namespace skms::keystore
