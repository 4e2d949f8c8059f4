// BoundedTasks: a fixed number of threads that work off a queue which has a bound.
//
// Enqueue may be called from any thread; Shutdown once, by the owner, before the destructor. Tasks that are
// queued at Shutdown are still run.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/thread_priority.h"

namespace skms::http {

class BoundedTasks {
 public:
  /// `priority`: what the threads lower theirs to; nullopt: they keep it.
  BoundedTasks(std::size_t threads, std::size_t most_queued, std::optional<ThreadPriority> priority);
  BoundedTasks(const BoundedTasks&) = delete;
  BoundedTasks& operator=(const BoundedTasks&) = delete;

  /// False: the queue is full, and `task` as it was.
  bool Enqueue(std::function<void()>& task);
  /// Returns when every thread has ended.
  void Shutdown();

 private:
  void Work();

  const std::size_t most_queued_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  bool stopping_ = false;
};

}  // namespace skms::http
