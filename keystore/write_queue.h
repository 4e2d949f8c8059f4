// WriteQueue: changes on their way to the database's one writer, and how many of them make one commit.
//
// A commit costs as much for many as for one: where several came along last time, the writer waits for those
// who are on their way, until nobody has come for a lull. What is patient goes along with somebody else's
// commits, few with each until it has waited for kPatience, or alone then.
//
// Thread-safe; one thread takes batches.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <mutex>
#include <vector>

#include "keystore/database.h"

namespace skms::keystore {

struct QueuedWrite {
  DatabaseWork work;
  bool outside_transaction = false;  ///< it comes alone
  bool repeatable = false;           ///< `work` may run more than once
  std::chrono::seconds limit{30};
  Touches touches = Touches::kAnything;
  Places places{};
  std::uint64_t decided = 0;  ///< Database::learnt() when it was
  bool* overtaken = nullptr;  ///< set where it is refused because of a change elsewhere
  std::promise<Status> done{};
};

class WriteQueue {
 public:
  static constexpr std::size_t kMostInOneCommit = 128;

  std::future<Status> Add(QueuedWrite write);
  std::future<Status> AddPatient(QueuedWrite write);
  /// Waits for what is to be written next. Empty: the end has begun, and nothing is left but what is patient.
  std::vector<QueuedWrite> NextBatch();
  void BeginEnd();
  /// Waiting, patient ones too.
  std::size_t size() const;

 private:
  void Gather(std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;
  std::condition_variable queued_;
  std::deque<QueuedWrite> queue_;
  std::deque<QueuedWrite> patient_;
  std::chrono::steady_clock::time_point patient_until_{};  ///< for the oldest of them, if there are any
  bool stopping_ = false;
  std::size_t gathering_ = 1;   ///< so many in queue_ wake the writer
  std::size_t last_batch_ = 0;  ///< of the writer alone
};

}  // namespace skms::keystore
