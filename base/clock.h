// Clock: where time comes from. Injected everywhere, so that tests never sleep and never depend on the date.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace skms {

/// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Milliseconds since 1970-01-01T00:00:00Z.
  virtual std::int64_t NowMilliseconds() const = 0;
  /// Monotonic; for deadlines and rates.
  virtual std::chrono::steady_clock::time_point Monotonic() const = 0;

  /// Seconds since 1970 (JOSE NumericDate, TS 33.434 Date/Time).
  std::int64_t NowSeconds() const { return NowMilliseconds() / 1000; }
};

class SystemClock final : public Clock {
 public:
  std::int64_t NowMilliseconds() const override;
  std::chrono::steady_clock::time_point Monotonic() const override;
};

/// "2026-11-24T11:39:30Z" (RFC 3339) from seconds since 1970.
std::string FormatUtc(std::int64_t seconds);

}  // namespace skms
