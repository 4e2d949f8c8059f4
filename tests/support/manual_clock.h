// A clock that stands still until it is moved.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace skms::test {

class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::int64_t seconds = 1'800'000'000) : milliseconds_(seconds * 1000) {}
  std::int64_t NowMilliseconds() const override { return milliseconds_; }
  std::chrono::steady_clock::time_point Monotonic() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(milliseconds_ - set_forward_));
  }
  void Advance(std::chrono::milliseconds by) { milliseconds_ += by.count(); }
  /// Somebody sets the wall clock; no time passes.
  void SetForward(std::chrono::milliseconds by) {
    milliseconds_ += by.count();
    set_forward_ += by.count();
  }

 private:
  std::atomic<std::int64_t> milliseconds_;
  std::atomic<std::int64_t> set_forward_{0};
};

}  // namespace skms::test
