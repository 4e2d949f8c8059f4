// SessionClock: what the token's sessions cost, in counters: how often one was leased, how long requests
// waited for one, how long they held it, and how much of that they were inside the module.
//
// Thread-safe. A lease costs two readings of the clock, a call of the module two more.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "hsm/crypto_module.h"

namespace skms::hsm {

class SessionClock {
 public:
  using Steady = std::chrono::steady_clock;

  void Waited(Steady::duration time) { Add(waited_, time); }
  void Leased() { leases_.fetch_add(1, std::memory_order_relaxed); }
  void Held(Steady::duration time) { Add(held_, time); }
  void Called(Steady::duration time) {
    calls_.fetch_add(1, std::memory_order_relaxed);
    Add(inside_, time);
  }
  /// Fills in all but the pool's own numbers.
  void Tell(CryptoModule::SessionUse& use) const {
    use.leases = leases_.load(std::memory_order_relaxed);
    use.calls = calls_.load(std::memory_order_relaxed);
    use.waited = Read(waited_);
    use.held = Read(held_);
    use.inside = Read(inside_);
  }

 private:
  using Nanoseconds = std::atomic<std::int64_t>;
  static void Add(Nanoseconds& sum, Steady::duration time) {
    sum.fetch_add(std::chrono::nanoseconds(time).count(), std::memory_order_relaxed);
  }
  static std::chrono::nanoseconds Read(const Nanoseconds& sum) {
    return std::chrono::nanoseconds(sum.load(std::memory_order_relaxed));
  }

  std::atomic<std::uint64_t> leases_{0};
  std::atomic<std::uint64_t> calls_{0};
  Nanoseconds waited_{0};
  Nanoseconds held_{0};
  Nanoseconds inside_{0};
};

}  // namespace skms::hsm
