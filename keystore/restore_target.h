// RestoreTarget: the database that a backup, or another server's database, is to become. Nobody else uses it
// meanwhile.
//
// Move-only; one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "keystore/database.h"
#include "keystore/database_lock.h"

namespace skms::keystore {

class RestoreTarget {
 public:
  /// Errors: kConflict (somebody uses it), kIo, kStorage, kStoreUnavailable.
  static Result<RestoreTarget> Take(const StoreLocation& location);

  /// More is in it than `skmsctl init` puts there. Errors: as HasContentIn (database_snapshot.h).
  Result<bool> HasContent();
  /// The SQLite database `made`, which nobody has open, takes its place: whole and on the disk, or not at
  /// all. Errors: as ReplaceDatabase; kStorage, kStoreUnavailable.
  Status Replace(const std::string& made);
  /// For people.
  std::string Name() const;
  /// What to do with content that is there and not wanted.
  std::string HowToEmpty() const;

 private:
  explicit RestoreTarget(StoreLocation location) : location_(std::move(location)) {}
  StoreLocation location_;
  std::optional<DatabaseLock> lock_;    ///< of a file
  std::unique_ptr<Database> database_;  ///< of a server
};

}  // namespace skms::keystore
