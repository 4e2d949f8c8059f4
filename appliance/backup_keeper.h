// BackupKeeper: has backups made, and holds them beside the database until they are fetched.
//
// They lie encrypted in "<database>.backups", mode 0700. One is made at a time; one that nobody fetched goes
// after an hour, with the next that is made, or when the daemon starts. Thread-safe. Borrows the KeyStore,
// which must outlive it.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "api/admin/admin_api.h"
#include "appliance/config/configuration.h"
#include "base/result.h"
#include "keystore/key_store.h"

namespace skms::appliance {

class BackupKeeper {
 public:
  BackupKeeper(keystore::KeyStore& store, const Configuration& configuration, std::string version);
  BackupKeeper(const BackupKeeper&) = delete;
  BackupKeeper& operator=(const BackupKeeper&) = delete;

  /// Removes what former processes left of backups, restores and drills.
  void RemoveLeft();
  /// For the admin API; this object must outlive it.
  admin::BackupControl control();
  /// Errors: kConflict (one is being made), those of KeyStore::MakeBackup, kIo.
  Result<admin::StoredBackup> Make(const keystore::Requester& by);
  /// At most kPiece octets after the first `after`; none: there are no more. Errors: kNotFound, kIo.
  Result<Bytes> Read(const std::string& id, std::int64_t after) const;
  /// Errors: kNotFound, kIo.
  Status Remove(const std::string& id);

  static constexpr std::size_t kPiece = 786432;

 private:
  std::string PathOf(const std::string& id) const;
  /// Errors: kNotFound.
  Result<std::string> Find(const std::string& id) const;
  Status RemoveOld() const;

  keystore::KeyStore& store_;
  const std::string database_;
  const std::string directory_;
  const std::string server_;
  const std::string version_;
  std::mutex making_;
};

}  // namespace skms::appliance
