// LateAnswers: answers in place of a handler that does not come back in time, so that a call that hangs in
// the token's module or in the database does not hang the client. The handler's own answer then goes nowhere,
// and its connection is closed when it comes back.
//
// A request that may run twice is run again by another thread once its own has been inside one call of the
// module (base/outside_call.h) for `kHangs`: another token, or another session, may well answer it. What has
// not been answered in time gets 503.
//
// Thread-safe. Must outlive every Pending of its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "base/outside_call.h"

namespace skms::http {

class LateAnswers {
 public:
  static constexpr std::chrono::milliseconds kHangs{1000};
  static constexpr std::size_t kMostRuns = 16;  ///< at once, for they may hang as well

  /// Writes an answer.
  using Answer = std::function<void()>;
  /// Runs a request again; owns all that it needs. An empty Answer: that did not help.
  using Run = std::function<Answer()>;
  /// Makes a Run from the request that hangs, which lives and does not change meanwhile. Empty: it must not
  /// run twice.
  using MakeRun = std::function<Run()>;

  /// `most`: from the handler's start; zero: handlers have all the time they want, and there is no thread.
  explicit LateAnswers(std::chrono::milliseconds most, std::chrono::milliseconds hangs = kHangs);
  LateAnswers(const LateAnswers&) = delete;
  LateAnswers& operator=(const LateAnswers&) = delete;
  ~LateAnswers();
  /// No request is run again from now on; returns when those runs have ended that were under way.
  void End();

  /// One handler at work on one connection; made and destroyed by its thread.
  class Pending {
   public:
    /// `answer` writes the 503. It or the Answer of a run is called by another thread, one of them and once,
    /// while this object lives. What `again` looks at must not change after the handler has entered its first
    /// call.
    Pending(LateAnswers& owner, Answer answer, MakeRun again = {});
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;
    ~Pending();
    /// Before the handler's own answer goes out. False: it is too late, and nothing may be written any more.
    bool Begin();

   private:
    friend class LateAnswers;
    LateAnswers& owner_;
    const Answer answer_;
    MakeRun again_;  ///< emptied once it was used
    const OutsideCallMark& call_ = ThisThreadsOutsideCall();
    const std::chrono::steady_clock::time_point due_;
    std::list<Pending*>::iterator place_;
    std::shared_ptr<Pending*> self_;  ///< a run's way to this, which may be gone by then
    enum class State { kAtWork, kBegun, kAnswering, kAnswered } state_ = State::kAtWork;
  };

 private:
  using Lock = std::unique_lock<std::mutex>;
  void Watch();
  void AnswerFor(Lock& lock, Pending& pending, const Answer& answer);
  void RunAgainWhatHangs();
  void StartRun(Pending& pending);
  void RunAgain(Run run, const void* hangs_in, const std::shared_ptr<Pending*>& pending);

  const std::chrono::milliseconds most_;
  const std::chrono::milliseconds hangs_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Pending*> at_work_;  ///< by due time, for all have the same time
  std::size_t runs_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace skms::http
