// OutsideCall: marks that this thread is inside code that may never come back (a PKCS#11 module), for whoever
// watches over the thread's work.
//
// A mark belongs to its thread; any thread may look at it while that one lives.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace skms {

class OutsideCallMark {
 public:
  using Steady = std::chrono::steady_clock;

  /// How long the thread has been inside one call; zero: it is not.
  Steady::duration Inside(Steady::time_point now) const {
    const std::int64_t since = since_.load(std::memory_order_acquire);
    if (since == 0) return Steady::duration::zero();
    return now - Steady::time_point(Steady::duration(since));
  }

 private:
  friend class OutsideCall;
  std::atomic<std::int64_t> since_{0};
};

/// The calling thread's.
inline OutsideCallMark& ThisThreadsOutsideCall() {
  static thread_local OutsideCallMark mark;
  return mark;
}

/// While it lives, its thread is inside. Not nested.
class OutsideCall {
 public:
  explicit OutsideCall(OutsideCallMark::Steady::time_point begun = OutsideCallMark::Steady::now())
      : mark_(ThisThreadsOutsideCall()) {
    mark_.since_.store(begun.time_since_epoch().count(), std::memory_order_release);
  }
  OutsideCall(const OutsideCall&) = delete;
  OutsideCall& operator=(const OutsideCall&) = delete;
  ~OutsideCall() { mark_.since_.store(0, std::memory_order_release); }

 private:
  OutsideCallMark& mark_;
};

}  // namespace skms
