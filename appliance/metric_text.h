// MetricText: samples gathered for one scrape, and their text in Prometheus' format 0.0.4. prometheus-cpp
// stays behind it.
//
// One thread. A name has one kind and one help text: those of its first sample.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/duration_histogram.h"

namespace skms::appliance {

using Labels = std::vector<std::pair<std::string, std::string>>;

class MetricText {
 public:
  MetricText();
  MetricText(const MetricText&) = delete;
  MetricText& operator=(const MetricText&) = delete;
  ~MetricText();

  void Gauge(std::string_view name, std::string_view help, const Labels& labels, double value);
  void Counter(std::string_view name, std::string_view help, const Labels& labels, double value);
  /// In seconds.
  void Histogram(std::string_view name, std::string_view help, const Labels& labels,
                 const DurationHistogram::Snapshot& value);

  std::string Render() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace skms::appliance
