#include "base/duration_histogram.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

namespace skms {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST_CASE("each time lies in the first bucket whose bound it does not pass") {
  DurationHistogram histogram;
  histogram.Observe(nanoseconds(0));
  histogram.Observe(std::chrono::microseconds(100));
  histogram.Observe(std::chrono::microseconds(100) + nanoseconds(1));
  histogram.Observe(seconds(10));
  histogram.Observe(seconds(11));
  const DurationHistogram::Snapshot now = histogram.Read();
  CHECK(now.counts.front() == 2);
  CHECK(now.counts[1] == 1);
  CHECK(now.counts[DurationHistogram::kBounds.size() - 1] == 1);
  CHECK(now.counts.back() == 1);
  CHECK(now.count() == 5);
  CHECK(now.sum == std::chrono::microseconds(200) + nanoseconds(1) + seconds(21));
}

TEST_CASE("nothing that several threads observe is lost") {
  DurationHistogram histogram;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&histogram] {
      for (int k = 0; k < 10000; ++k) histogram.Observe(milliseconds(2));
    });
  }
  for (std::thread& one : threads) one.join();
  CHECK(histogram.Read().count() == 40000);
  CHECK(histogram.Read().sum == milliseconds(80000));
}

}  // namespace skms
