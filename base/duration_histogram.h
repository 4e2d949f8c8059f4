// DurationHistogram: how long something took, counted in buckets from 100 µs to 10 s, so that quantiles can
// be told of it later.
//
// Thread-safe, without a lock: an observation is two relaxed additions. A snapshot that is taken meanwhile
// may lack the observations that are being made.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace skms {

class DurationHistogram {
 public:
  using Duration = std::chrono::nanoseconds;

  /// Upper bounds, each included in its bucket; what is longer lies in one bucket more.
  static constexpr std::array<Duration, 16> kBounds{
      std::chrono::microseconds(100), std::chrono::microseconds(250),  std::chrono::microseconds(500),
      std::chrono::milliseconds(1),   std::chrono::microseconds(2500), std::chrono::milliseconds(5),
      std::chrono::milliseconds(10),  std::chrono::milliseconds(25),   std::chrono::milliseconds(50),
      std::chrono::milliseconds(100), std::chrono::milliseconds(250),  std::chrono::milliseconds(500),
      std::chrono::seconds(1),        std::chrono::milliseconds(2500), std::chrono::seconds(5),
      std::chrono::seconds(10)};

  struct Snapshot {
    std::array<std::uint64_t, kBounds.size() + 1> counts{};  ///< of each bucket alone
    Duration sum{0};

    std::uint64_t count() const {
      std::uint64_t all = 0;
      for (const std::uint64_t one : counts) all += one;
      return all;
    }
    Snapshot& operator+=(const Snapshot& other) {
      for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
      sum += other.sum;
      return *this;
    }
  };

  void Observe(Duration took) noexcept {
    std::size_t bucket = 0;
    while (bucket < kBounds.size() && took > kBounds[bucket]) ++bucket;
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(took.count(), std::memory_order_relaxed);
  }

  Snapshot Read() const noexcept {
    Snapshot now;
    for (std::size_t i = 0; i < counts_.size(); ++i)
      now.counts[i] = counts_[i].load(std::memory_order_relaxed);
    now.sum = Duration(sum_.load(std::memory_order_relaxed));
    return now;
  }

 private:
  std::array<std::atomic<std::uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<std::int64_t> sum_{0};
};

}  // namespace skms
