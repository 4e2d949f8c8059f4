// OutsideCall: marks that this thread is inside code that may never come back (a PKCS#11 module), for whoever
// watches over the thread's work; and what place another thread that does the same work should keep out of.
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
  /// Where its last call went: an address that means something to the caller alone.
  const void* place() const { return place_.load(std::memory_order_acquire); }

 private:
  friend class OutsideCall;
  std::atomic<const void*> place_{nullptr};
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
  explicit OutsideCall(const void* place,
                       OutsideCallMark::Steady::time_point begun = OutsideCallMark::Steady::now())
      : mark_(ThisThreadsOutsideCall()) {
    mark_.place_.store(place, std::memory_order_release);
    mark_.since_.store(begun.time_since_epoch().count(), std::memory_order_release);
  }
  OutsideCall(const OutsideCall&) = delete;
  OutsideCall& operator=(const OutsideCall&) = delete;
  ~OutsideCall() { mark_.since_.store(0, std::memory_order_release); }

 private:
  OutsideCallMark& mark_;
};

/// What the calling thread keeps out of where it has the choice; null: nothing.
inline const void*& PlaceToAvoid() {
  static thread_local const void* place = nullptr;
  return place;
}

}  // namespace skms
