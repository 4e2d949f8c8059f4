// RouteMeter: the counters of one route, resolved when the route is added: a request pays some relaxed
// additions.
//
// Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "api/http/api_figures.h"
#include "base/duration_histogram.h"

namespace skms::http {

class RouteMeter {
 public:
  void Count(int status) {
    outcomes_[static_cast<std::size_t>(OutcomeOf(status))].fetch_add(1, std::memory_order_relaxed);
  }
  void Count(int status, DurationHistogram::Duration took) {
    Count(status);
    duration_.Observe(took);
  }
  RouteFigures Read(std::string method, std::string pattern) const {
    RouteFigures figures{std::move(method), std::move(pattern), {}, duration_.Read()};
    for (std::size_t i = 0; i < outcomes_.size(); ++i)
      figures.outcomes[i] = outcomes_[i].load(std::memory_order_relaxed);
    return figures;
  }

 private:
  std::array<std::atomic<std::uint64_t>, kOutcomeNames.size()> outcomes_{};
  DurationHistogram duration_;
};

}  // namespace skms::http
