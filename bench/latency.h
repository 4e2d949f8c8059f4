// What a closed-loop benchmark reports: operations, wall time and the spread of latencies.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace skms::bench {

using SteadyClock = std::chrono::steady_clock;

struct Sample {
  std::vector<double> microseconds;
  std::size_t failures = 0;
};

inline double Percentile(std::vector<double>& values, double fraction) {
  if (values.empty()) return 0;
  const auto index = static_cast<std::size_t>(fraction * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return values[index];
}

/// One JSON object on one line: {"per_second":…,"p50_us":…,"p99_us":…,"operations":…,"failures":…}.
inline std::string Report(std::vector<Sample>& samples, double seconds) {
  std::vector<double> all;
  std::size_t failures = 0;
  for (Sample& sample : samples) {
    all.insert(all.end(), sample.microseconds.begin(), sample.microseconds.end());
    failures += sample.failures;
  }
  const double per_second = seconds > 0 ? static_cast<double>(all.size()) / seconds : 0;
  return "{\"per_second\":" + std::to_string(per_second) +
         ",\"p50_us\":" + std::to_string(Percentile(all, 0.5)) +
         ",\"p99_us\":" + std::to_string(Percentile(all, 0.99)) +
         ",\"operations\":" + std::to_string(all.size()) + ",\"failures\":" + std::to_string(failures) + "}";
}

}  // namespace skms::bench
