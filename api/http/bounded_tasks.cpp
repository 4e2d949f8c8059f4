#include "api/http/bounded_tasks.h"

#include <utility>

namespace skms::http {

BoundedTasks::BoundedTasks(std::size_t threads, std::size_t most_queued,
                           std::optional<ThreadPriority> priority)
    : most_queued_(most_queued) {
  for (std::size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this, priority] {
      if (priority) LowerPriority(*priority);
      Work();
    });
  }
}

bool BoundedTasks::Enqueue(std::function<void()>& task) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= most_queued_) return false;
    queue_.push_back(std::move(task));
  }
  ready_.notify_one();
  return true;
}

void BoundedTasks::Shutdown() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void BoundedTasks::Work() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace skms::http
