#include "appliance/history.h"

#include <doctest/doctest.h>

using skms::Clock;
using skms::admin::PageMinute;
using skms::appliance::Between;
using skms::appliance::History;
using skms::appliance::HistoryTotals;

namespace {

struct StoppedClock : Clock {
  std::int64_t now = 1000;
  std::int64_t NowMilliseconds() const override { return now * 1000; }
  std::chrono::steady_clock::time_point Monotonic() const override { return {}; }
};

HistoryTotals Calls(std::map<std::string, HistoryTotals::Calls> tokens) {
  HistoryTotals totals;
  totals.tokens = std::move(tokens);
  return totals;
}

}  // namespace

TEST_CASE("a minute is what came since the one before") {
  HistoryTotals before;
  before.delivered = 10;
  HistoryTotals now;
  now.delivered = 15;
  now.refused = 2;
  now.keys = {1, 2};
  const PageMinute minute = Between(before, now, 60);
  CHECK(minute.begun == 60);
  CHECK(minute.delivered == 5);
  CHECK(minute.refused == 2);
  CHECK(minute.failed == 0);
  CHECK(minute.keys == std::vector<std::int64_t>{1, 2});
  CHECK_FALSE(minute.token_call_seconds.has_value());
  // Who read first and came second counts nothing, and not everything.
  CHECK(Between(now, before, 60).delivered == 0);
}

TEST_CASE("a token that was opened again counts anew, and each for itself") {
  const auto mean = [](const HistoryTotals& before, const HistoryTotals& now) {
    return Between(before, now, 0).token_call_seconds.value_or(-1);
  };
  CHECK(mean(Calls({{"a", {1000, 10}}}), Calls({{"a", {1100, 12}}})) == doctest::Approx(0.02));
  CHECK(mean(Calls({{"a", {1000, 10}}}), Calls({{"a", {5, 0.5}}})) == doctest::Approx(0.1));
  // More calls than before, in less time: it was opened again, too.
  CHECK(mean(Calls({{"a", {1000, 10}}}), Calls({{"a", {2000, 2}}})) == doctest::Approx(0.001));
  CHECK(mean(Calls({{"a", {1000, 10}}, {"b", {0, 0}}}), Calls({{"a", {0, 0}}, {"b", {2000, 2}}})) ==
        doctest::Approx(0.001));
  CHECK(mean(Calls({{"a", {1000, 10}}}), Calls({{"a", {1000, 10}}, {"new", {10, 1}}})) ==
        doctest::Approx(0.1));
  CHECK(mean(Calls({{"a", {1000, 10}}}), Calls({})) == -1);
}

TEST_CASE("a day is kept, and the minute that is not over is its last") {
  StoppedClock clock;
  HistoryTotals totals;
  History history([&totals] { return totals; }, clock);
  CHECK(history.Minutes().empty());
  history.Start();
  totals.delivered = 3;
  REQUIRE(history.Minutes().size() == 1);
  CHECK(history.Minutes()[0].delivered == 3);
  for (std::size_t i = 0; i < History::kMost + 5; ++i) {
    totals.delivered = 3 + i;
    clock.now += 60;
    history.Turn();
  }
  totals.delivered += 7;
  const auto minutes = history.Minutes();
  REQUIRE(minutes.size() == History::kMost + 1);
  CHECK(minutes.back().delivered == 7);
  CHECK(minutes.back().begun == clock.now);
  CHECK(minutes[minutes.size() - 2].delivered == 1);
  CHECK(minutes[minutes.size() - 2].begun == clock.now - 60);
  history.Stop();
  history.Stop();
}
