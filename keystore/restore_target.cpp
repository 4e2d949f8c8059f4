#include "keystore/restore_target.h"

#include <utility>

#include "keystore/database_snapshot.h"
#include "keystore/schema.h"
#include "keystore/table_copy.h"

namespace skms::keystore {

Result<RestoreTarget> RestoreTarget::Take(const StoreLocation& location) {
  RestoreTarget target(location);
  if (location.url.empty()) {
    SKMS_TRY(DatabaseLock lock, DatabaseLock::Take(location.path));
    target.lock_.emplace(std::move(lock));
  } else {
    SKMS_TRY(target.database_, Database::Open(location));
  }
  return target;
}

Result<bool> RestoreTarget::HasContent() {
  return database_ ? HasContentIn(*database_) : keystore::HasContent(location_.path);
}

Status RestoreTarget::Replace(const std::string& made) {
  if (!database_) return ReplaceDatabase(made, location_.path);
  SKMS_TRY(const std::unique_ptr<Database> from, Database::Open(made));
  return CopyDatabase(*from, *database_, [] { return false; });
}

std::string RestoreTarget::Name() const { return database_ ? database_->Name() : location_.path; }

std::string RestoreTarget::HowToEmpty() const {
  if (database_) return "make another one with createdb, and name that in store.url";
  return "move it away with " + location_.path + "-wal and " + location_.path + "-shm, where they are";
}

}  // namespace skms::keystore
