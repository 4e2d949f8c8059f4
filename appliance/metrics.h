// Metrics: what GET /metrics of the admin socket tells, gathered at each scrape from where it lives.
// docs/monitoring.md says what to make of it.
//
// Labels are few and bounded: listeners and documented routes, outcomes, labels of tokens, states. Never a
// user, UE, group, service or key. Asks no token; of the database only what small tables and indexes tell.
// Certificates and CRLs are read anew once a minute at most. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "api/admin/admin_api.h"
#include "api/admin/appliance_state.h"
#include "api/http/router.h"
#include "appliance/config/configuration.h"
#include "appliance/metric_text.h"
#include "base/clock.h"
#include "base/seldom.h"
#include "hsm/crypto_module.h"
#include "keystore/key_store.h"

namespace skms::appliance {

/// All that it points to must outlive the Metrics.
struct MetricSources {
  Configuration configuration;
  const Clock& clock;
  std::int64_t started = 0;  ///< seconds since 1970
  /// Empty while the server is locked: then nothing below but `apis` is there either.
  std::function<admin::ApplianceState()> state{};
  std::vector<std::pair<std::string, const http::Api*>> apis{};  ///< by their listener; nullptr: not opened
  hsm::CryptoModule* module = nullptr;
  keystore::KeyStore* store = nullptr;
  std::function<admin::RotationReport()> rotation{};
  std::function<admin::RewrapReport()> rewrap{};
  std::function<admin::AuditReport()> audit{};
};

class Metrics {
 public:
  explicit Metrics(MetricSources sources) : from_(std::move(sources)) {}

  /// What cannot be read is left out; skms_metrics_incomplete says so, and the log why.
  std::string Text();

  /// Until when what a file holds is good; the first of several to end.
  struct Expiry {
    enum class Kind { kCertificate, kCrl, kOcsp };
    std::string setting;  ///< of the configuration
    Kind kind = Kind::kCertificate;
    std::int64_t until = 0;  ///< seconds since 1970; 0: cannot be read
  };
  std::vector<Expiry> Expiries();

 private:
  void AddServer(MetricText& out) const;
  void AddRequests(MetricText& out) const;
  void AddTokens(MetricText& out) const;
  void AddStore(MetricText& out) const;
  void AddDisk(MetricText& out) const;
  Status AddKeys(MetricText& out) const;
  Status AddAudit(MetricText& out) const;
  void AddExpiries(MetricText& out);
  std::vector<Expiry> ReadExpiries() const;

  const MetricSources from_;
  Seldom tells_;
  std::mutex mutex_;
  std::vector<Expiry> expiries_;
  std::chrono::steady_clock::time_point expiries_read_{};
};

}  // namespace skms::appliance
