#include "api/auth/rate_limiter.h"

#include <algorithm>
#include <cmath>

namespace skms::auth {
namespace {

// Above it, whoever has not asked for a while is forgotten: his bucket is full again anyway.
constexpr std::size_t kMostBuckets = 100000;

}  // namespace

RateLimiter::RateLimiter(const Clock& clock, double per_second, double burst)
    : clock_(clock), per_second_(per_second), burst_(burst) {}

int RateLimiter::Take(const std::string& name) {
  const auto now = clock_.Monotonic();
  const std::lock_guard lock(mutex_);
  if (buckets_.size() >= kMostBuckets) {
    const auto until_full = std::chrono::duration<double>(burst_ / per_second_);
    std::erase_if(buckets_, [&](const auto& entry) { return now - entry.second.filled >= until_full; });
    if (buckets_.size() >= kMostBuckets) buckets_.clear();
  }
  auto [found, fresh] = buckets_.try_emplace(name, Bucket{burst_, now});
  Bucket& bucket = found->second;
  if (!fresh) {
    const double passed = std::chrono::duration<double>(now - bucket.filled).count();
    bucket.tokens = std::min(burst_, bucket.tokens + passed * per_second_);
    bucket.filled = now;
  }
  if (bucket.tokens >= 1) {
    bucket.tokens -= 1;
    return 0;
  }
  return std::max(1, static_cast<int>(std::ceil((1 - bucket.tokens) / per_second_)));
}

}  // namespace skms::auth
