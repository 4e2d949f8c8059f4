// AuditExporter: sends the audit chain to a sink (appliance/audit_sink.h) as the token signs it: up to the
// last checkpoint.
//
// What has not gone yet stays in the database: it is the spool. How far it has gone is kept there, too, and
// is told forward only when the sink has taken it, so that an entry may go twice and never not at all. Where
// the sink falls too far behind, the key store refuses every decision until it has caught up.
//
// Two threads, for a sink may hang: one sends, one watches. Thread-safe. Borrows the KeyStore, which must
// outlive it.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "api/admin/admin_api.h"
#include "appliance/audit_sink.h"
#include "appliance/config/configuration.h"
#include "base/seldom.h"
#include "keystore/key_store.h"

namespace skms::appliance {

class AuditExporter {
 public:
  /// `sink`: nullptr for none; then this does nothing.
  AuditExporter(keystore::KeyStore& store, const AuditSection& options, std::unique_ptr<AuditSink> sink);
  AuditExporter(const AuditExporter&) = delete;
  AuditExporter& operator=(const AuditExporter&) = delete;
  ~AuditExporter();

  /// Returns once it is known whether the sink is too far behind. Errors: kStorage.
  Status Start();
  /// Sends for some seconds more what was signed until now. Idempotent.
  void Stop();
  admin::AuditExportReport report() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  void SendLoop();
  void WatchLoop();
  /// One try to send all that is signed.
  Status Send();
  /// False: there was nothing more.
  Result<bool> SendPage(const keystore::AuditCheckpoint& last);
  Status FindPosition();
  void StandBy();
  Status Measure();
  void Told(const Status& outcome);
  keystore::AuditExported position() const;
  bool IsOver() const;

  /// Entries of the last look that were not sent by now. Under mutex_.
  std::int64_t Behind() const { return std::max<std::int64_t>(0, head_ - position_.seq); }

  keystore::KeyStore& store_;
  const AuditSection options_;
  const std::unique_ptr<AuditSink> sink_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  keystore::AuditExported position_;
  std::int64_t head_ = 0;  ///< entries of the chain when it was looked at last
  bool shut_ = false;
  Status last_try_ = Ok();
  std::chrono::steady_clock::time_point went_well_{};  ///< when something went, or all had gone
  std::chrono::steady_clock::time_point give_up_{};    ///< once it stops
  bool placed_ = false;  ///< the position was compared with what the sink knows; the sender's alone
  bool stop_ = false;
  Seldom tells_;
  std::thread sender_;
  std::thread watcher_;
};

}  // namespace skms::appliance
