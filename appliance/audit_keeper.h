// AuditKeeper: has the token sign the audit chain from time to time and at the end, deletes what was
// archived, and watches the space that the chain has left to grow.
//
// A thread of its own; thread-safe. Borrows the KeyStore, which must outlive it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "api/admin/admin_api.h"
#include "appliance/config/configuration.h"
#include "base/seldom.h"
#include "keystore/key_store.h"

namespace skms::appliance {

class AuditKeeper {
 public:
  /// `database`: the file whose disk is watched.
  AuditKeeper(keystore::KeyStore& store, const AuditSection& options, std::string database);
  AuditKeeper(const AuditKeeper&) = delete;
  AuditKeeper& operator=(const AuditKeeper&) = delete;
  ~AuditKeeper();

  void Start();
  /// Signs what is not signed yet, once nobody appends any more. Idempotent.
  void Stop();
  /// Something was archived.
  void BeginDeleting();
  admin::AuditReport report() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  void Loop();
  void ReadLast();
  void Sign();
  bool IsDue();
  void LookAtDisk();
  void DeleteArchived();
  void EndApprovals();
  void Trouble(const Error& error);

  keystore::KeyStore& store_;
  const AuditSection options_;
  const std::string database_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  admin::AuditReport report_;
  std::chrono::steady_clock::time_point looked_{};  ///< when all was signed
  bool deleting_ = true;                            ///< what a former process left
  bool stop_ = false;
  std::chrono::steady_clock::time_point approvals_at_{};
  Seldom tells_;
  Seldom approvals_tell_;
  std::thread thread_;
};

}  // namespace skms::appliance
