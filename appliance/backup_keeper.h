// BackupKeeper: has backups made, and holds them beside the database until they are fetched.
//
// They lie encrypted in "<database>.backups", mode 0700. One is made at a time, and one lies there: what
// nobody fetched goes after an hour, before the next is made, and when the daemon stops or starts.
// Thread-safe. Borrows the KeyStore, which must outlive it. Owns a thread, from Start to Stop.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "api/admin/admin_api.h"
#include "appliance/config/configuration.h"
#include "base/result.h"
#include "keystore/key_store.h"

namespace skms::appliance {

class BackupKeeper {
 public:
  BackupKeeper(keystore::KeyStore& store, const Configuration& configuration, std::string version,
               std::chrono::milliseconds kept = std::chrono::hours(1));
  BackupKeeper(const BackupKeeper&) = delete;
  BackupKeeper& operator=(const BackupKeeper&) = delete;
  ~BackupKeeper();

  /// Removes what former processes left of backups, restores and drills; from then on what nobody fetches.
  void Start();
  /// One that is being made ends at once, with kResourceExhausted; none is begun any more.
  void Interrupt();
  /// Once no request is in flight: removes what was not fetched.
  void Stop();
  /// For the admin API; this object must outlive it.
  admin::BackupControl control();
  /// Errors: kConflict (one is being made), kStorage (no room), those of KeyStore::MakeBackup, kIo.
  Result<admin::StoredBackup> Make(const keystore::Requester& by, bool with_damage);
  /// At most kPiece octets after the first `after`; none: there are no more. Errors: kNotFound, kIo.
  Result<Bytes> Read(const std::string& id, std::int64_t after) const;
  /// Errors: kNotFound, kIo.
  Status Remove(const std::string& id);

  static constexpr std::size_t kPiece = 786432;

 private:
  std::string PathOf(const std::string& id) const;
  /// Errors: kNotFound.
  Result<std::string> Find(const std::string& id) const;
  void RemoveDirectory();
  /// All that lie there, or those that have lain for long enough.
  Status RemoveMade(std::chrono::milliseconds least_age) const;
  Status CheckSpace() const;
  void RemoveInTime();

  keystore::KeyStore& store_;
  const std::string database_;
  const std::string directory_;
  const std::string server_;
  const std::string version_;
  const std::uint32_t warn_free_mib_;
  const std::chrono::milliseconds kept_;
  std::mutex making_;
  std::atomic<bool> interrupted_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  ///< under mutex_
  std::thread remover_;
};

}  // namespace skms::appliance
