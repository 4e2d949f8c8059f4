// SessionClock: what the token's sessions cost: how often one was leased, how long requests waited for one,
// how long they held it, and how much of that they were inside the module.
//
// Thread-safe. A lease costs two readings of the clock, a call of the module two more.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/duration_histogram.h"
#include "hsm/crypto_module.h"

namespace skms::hsm {

class SessionClock {
 public:
  using Steady = std::chrono::steady_clock;

  /// Also where there was no need to: zero.
  void Waited(Steady::duration time) { waited_.Observe(time); }
  void Leased() { leases_.fetch_add(1, std::memory_order_relaxed); }
  void Held(Steady::duration time) { held_.Observe(time); }
  void Called(Steady::duration time) { inside_.Observe(time); }
  SessionTimes times() const { return {waited_.Read(), held_.Read(), inside_.Read()}; }
  /// Fills in all but the pool's own numbers.
  void Tell(CryptoModule::SessionUse& use) const {
    const SessionTimes now = times();
    use.leases = leases_.load(std::memory_order_relaxed);
    use.calls = now.inside.count();
    use.waited = now.waited.sum;
    use.held = now.held.sum;
    use.inside = now.inside.sum;
  }

 private:
  std::atomic<std::uint64_t> leases_{0};
  DurationHistogram waited_;
  DurationHistogram held_;
  DurationHistogram inside_;
};

}  // namespace skms::hsm
