#include "keystore/write_queue.h"

#include <algorithm>
#include <utility>

namespace skms::keystore {
namespace {

// A request waits for few of them, and for some where they have waited long; where there is no request, many
// share a commit.
constexpr std::size_t kMostPatientWithOthers = 2;
constexpr std::size_t kMostPatientInTime = 8;
constexpr std::size_t kMostPatientAlone = 16;
constexpr std::chrono::milliseconds kPatience{20};
constexpr std::chrono::microseconds kLull{50};
constexpr std::chrono::microseconds kGathering{400};

}  // namespace

std::future<Status> WriteQueue::Add(QueuedWrite write) {
  std::future<Status> done = write.done.get_future();
  bool enough = false;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(write));
    enough = queue_.size() >= gathering_ || queue_.back().outside_transaction;
  }
  if (enough) queued_.notify_one();
  return done;
}

std::future<Status> WriteQueue::AddPatient(QueuedWrite write) {
  std::future<Status> done = write.done.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (patient_.empty()) patient_until_ = std::chrono::steady_clock::now() + kPatience;
    patient_.push_back(std::move(write));
  }
  queued_.notify_one();
  return done;
}

void WriteQueue::BeginEnd() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  queued_.notify_all();
}

std::size_t WriteQueue::size() const {
  const std::lock_guard lock(mutex_);
  return queue_.size() + patient_.size();
}

std::vector<QueuedWrite> WriteQueue::NextBatch() {
  std::unique_lock lock(mutex_);
  Gather(lock);
  while (!stopping_ && queue_.empty()) {
    if (patient_.empty()) {
      queued_.wait(lock);
    } else if (queued_.wait_until(lock, patient_until_) == std::cv_status::timeout) {
      break;
    }
  }
  std::vector<QueuedWrite> batch;
  const auto take = [&batch](std::deque<QueuedWrite>& from) {
    batch.push_back(std::move(from.front()));
    from.pop_front();
  };
  if (!queue_.empty() && queue_.front().outside_transaction) {
    take(queue_);
    return batch;
  }
  while (!queue_.empty() && !queue_.front().outside_transaction && batch.size() < kMostInOneCommit)
    take(queue_);
  last_batch_ = batch.size();
  const auto now = std::chrono::steady_clock::now();
  const bool in_time = !patient_.empty() && now >= patient_until_;
  const std::size_t most =
      batch.empty() ? kMostPatientAlone : (in_time ? kMostPatientInTime : kMostPatientWithOthers);
  for (std::size_t i = 0; i < most && !patient_.empty(); ++i) take(patient_);
  // What is left waits anew for somebody to go along with.
  if (in_time) patient_until_ = now + kPatience;
  return batch;
}

/// Where several came along last time, waits while more keep coming. Whoever comes alone waits for nobody.
void WriteQueue::Gather(std::unique_lock<std::mutex>& lock) {
  if (last_batch_ < 2) return;
  const auto until = std::chrono::steady_clock::now() + kGathering;
  const auto enough = [this] {
    return stopping_ || queue_.size() >= kMostInOneCommit ||
           (!queue_.empty() && queue_.back().outside_transaction);
  };
  gathering_ = kMostInOneCommit;
  for (std::size_t had = 0; !enough() && std::chrono::steady_clock::now() < until;) {
    had = queue_.size();
    queued_.wait_until(lock, std::min(std::chrono::steady_clock::now() + kLull, until), enough);
    if (queue_.size() == had) break;
  }
  gathering_ = 1;
}

}  // namespace skms::keystore
