// Counters: how often each function was called, refused, and how long the real module took. They run for the
// life of the process. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "tests/fault/cryptoki_functions.h"

namespace skms::fault {

class Counters {
 public:
  void Arrived(Function called);
  void Left(Function called);
  void Refused(Function called);
  void Spent(Function called, std::chrono::nanoseconds time);

  /// "C_Sign 12 0 345678" (calls, of those refused, nanoseconds inside the real module) for each function
  /// that was called, then "most-inside: N" and "finalize-under-call: N".
  std::string Describe() const;

 private:
  struct Row {
    std::atomic<std::uint64_t> calls{0};
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::int64_t> nanoseconds{0};
  };
  std::array<Row, kFunctionCount> rows_;
  std::atomic<std::uint64_t> inside_{0};
  std::atomic<std::uint64_t> most_inside_{0};
  std::atomic<std::uint64_t> finalize_under_call_{0};
};

}  // namespace skms::fault
