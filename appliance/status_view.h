// StatusView: gathers what the status page shows, and keeps what a day was like. Thread-safe.
#pragma once

#include <functional>
#include <optional>

#include "api/admin/status_page.h"
#include "appliance/history.h"
#include "appliance/metrics.h"

namespace skms::appliance {

class StatusView {
 public:
  /// All that `sources` points to, and `metrics`, must outlive it.
  StatusView(MetricSources sources, Metrics& metrics);

  void Start() { history_.Start(); }
  void Stop() { history_.Stop(); }
  /// Asks no token; of the database what small tables and indexes tell. What cannot be read is shown as such.
  admin::StatusPage Page();

 private:
  HistoryTotals Totals() const;

  const MetricSources from_;
  Metrics& metrics_;
  History history_;
};

}  // namespace skms::appliance
