#include "api/auth/rate_limiter.h"

#include <doctest/doctest.h>

#include "tests/support/manual_clock.h"

namespace skms::auth {
namespace {

TEST_CASE("a burst passes, then the rate holds, each name for itself") {
  test::ManualClock clock;
  RateLimiter limiter(clock, 2, 3);
  for (int i = 0; i < 3; ++i) CHECK(limiter.Take("a") == 0);
  CHECK(limiter.Take("a") == 1);
  CHECK(limiter.Take("b") == 0);
  clock.Advance(std::chrono::milliseconds(500));
  CHECK(limiter.Take("a") == 0);
  CHECK(limiter.Take("a") == 1);
  clock.Advance(std::chrono::hours(1));
  for (int i = 0; i < 3; ++i) CHECK(limiter.Take("a") == 0);
  CHECK(limiter.Take("a") == 1);
}

TEST_CASE("the wait is told in whole seconds") {
  test::ManualClock clock;
  RateLimiter limiter(clock, 0.1, 1);
  CHECK(limiter.Take("a") == 0);
  CHECK(limiter.Take("a") == 10);
  clock.Advance(std::chrono::seconds(9));
  CHECK(limiter.Take("a") == 1);
  clock.Advance(std::chrono::milliseconds(1001));
  CHECK(limiter.Take("a") == 0);
}

}  // namespace
}  // namespace skms::auth
