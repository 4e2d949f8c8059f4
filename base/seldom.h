// Seldom: says "now" at most once a minute, for log lines that anybody could have written as fast as he can
// ask.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace skms {

class Seldom {
 public:
  bool Now() {
    constexpr std::int64_t kSeconds = 60;
    const std::int64_t now =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    std::int64_t last = last_;
    return (last == kNever || now - last >= kSeconds) && last_.compare_exchange_strong(last, now);
  }

 private:
  static constexpr std::int64_t kNever = -1;
  std::atomic<std::int64_t> last_{kNever};
};

}  // namespace skms
