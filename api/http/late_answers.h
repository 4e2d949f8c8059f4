// LateAnswers: answers 503 in place of a handler that does not come back in time, so that a call that hangs
// in the token's module or in the database does not hang the client. The handler's own answer then goes
// nowhere, and its connection is closed when it comes back.
//
// Thread-safe. Must outlive every Pending of its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace skms::http {

class LateAnswers {
 public:
  /// `most`: from the handler's start; zero: handlers have all the time they want, and there is no thread.
  explicit LateAnswers(std::chrono::milliseconds most);
  LateAnswers(const LateAnswers&) = delete;
  LateAnswers& operator=(const LateAnswers&) = delete;
  ~LateAnswers();

  /// One handler at work on one connection; made and destroyed by its thread.
  class Pending {
   public:
    /// `answer` writes the 503; it is called by another thread, at most once, while this object lives.
    Pending(LateAnswers& owner, std::function<void()> answer);
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;
    ~Pending();
    /// Before the handler's own answer goes out. False: it is too late, and nothing may be written any more.
    bool Begin();

   private:
    friend class LateAnswers;
    LateAnswers& owner_;
    const std::function<void()> answer_;
    const std::chrono::steady_clock::time_point due_;
    std::list<Pending*>::iterator place_;
    enum class State { kAtWork, kBegun, kAnswering, kAnswered } state_ = State::kAtWork;
  };

 private:
  void Watch();

  const std::chrono::milliseconds most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Pending*> at_work_;  ///< by due time, for all have the same time
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace skms::http
