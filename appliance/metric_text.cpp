#include "appliance/metric_text.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <limits>
#include <map>

namespace skms::appliance {
namespace {

double InSeconds(DurationHistogram::Duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

class MetricText::State {
 public:
  prometheus::ClientMetric& Add(std::string_view name, std::string_view help, prometheus::MetricType type,
                                const Labels& labels) {
    const auto [place, fresh] = places_.emplace(std::string(name), families_.size());
    if (fresh) {
      families_.emplace_back();
      families_.back().name = name;
      families_.back().help = help;
      families_.back().type = type;
    }
    prometheus::ClientMetric& sample = families_[place->second].metric.emplace_back();
    sample.label.reserve(labels.size());
    for (const auto& [label, value] : labels) {
      prometheus::ClientMetric::Label& one = sample.label.emplace_back();
      one.name = label;
      one.value = value;
    }
    return sample;
  }

  std::string Render() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<prometheus::MetricFamily> families_;
  std::map<std::string, std::size_t> places_;
};

MetricText::MetricText() : state_(std::make_unique<State>()) {}
MetricText::~MetricText() = default;

void MetricText::Gauge(std::string_view name, std::string_view help, const Labels& labels, double value) {
  state_->Add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void MetricText::Counter(std::string_view name, std::string_view help, const Labels& labels, double value) {
  state_->Add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

void MetricText::Histogram(std::string_view name, std::string_view help, const Labels& labels,
                           const DurationHistogram::Snapshot& value) {
  auto& histogram = state_->Add(name, help, prometheus::MetricType::Histogram, labels).histogram;
  histogram.bucket.reserve(value.counts.size());
  std::uint64_t counted = 0;
  for (std::size_t i = 0; i < value.counts.size(); ++i) {
    counted += value.counts[i];
    prometheus::ClientMetric::Bucket& bucket = histogram.bucket.emplace_back();
    bucket.cumulative_count = counted;
    bucket.upper_bound = i < DurationHistogram::kBounds.size() ? InSeconds(DurationHistogram::kBounds[i])
                                                               : std::numeric_limits<double>::infinity();
  }
  histogram.sample_count = counted;
  histogram.sample_sum = InSeconds(value.sum);
}

std::string MetricText::Render() const { return state_->Render(); }

}  // namespace skms::appliance
