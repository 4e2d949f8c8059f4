// RateLimiter: a token bucket per name, in bounded memory. Thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace skms::auth {

class RateLimiter {
 public:
  RateLimiter(const Clock& clock, double per_second, double burst);

  /// Takes one from `name`'s bucket. 0: taken; else whole seconds until one is there (at least 1).
  int Take(const std::string& name);

 private:
  struct Bucket {
    double tokens = 0;
    std::chrono::steady_clock::time_point filled;
  };
  const Clock& clock_;
  const double per_second_;
  const double burst_;
  std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace skms::auth
