// What a database says of itself to whoever only looks: no token, no lock, no change; beside a daemon
// that has it open, or without one.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "keystore/database.h"

namespace skms::keystore {

struct DatabaseFacts {
  int schema_version = 0;            ///< 0: there are no tables
  int known_schema_version = 0;      ///< this program's
  std::int64_t newest_entry = 0;     ///< of the audit chain; 0: there is none
  std::int64_t newest_entry_ms = 0;  ///< when it was made
  std::int64_t signed_up_to =
      0;               ///< the last entry that a checkpoint speaks of; its signature is not looked at
  std::string damage;  ///< what SQLite found in its pages; empty: nothing, or they were not looked at
};

/// `look_at_pages`: reads the whole file, which takes as long as that. SQLite may make the file's -wal and
/// -shm beside it. A server's pages are its own to look at. Errors: kStoreUnavailable (no server), kNotFound
/// (there is no file), kPermissionDenied (this user may not read it), kResourceExhausted (another process
/// holds it), kIntegrity (damaged, or no database), kStorage (the disk: full, or failing).
Result<DatabaseFacts> InspectDatabase(const StoreLocation& location, bool look_at_pages);

/// Whether there is a file, or tables on the server. Errors: kStorage, kStoreUnavailable.
Result<bool> IsThere(const StoreLocation& location);
/// For people.
std::string NameOf(const StoreLocation& location);

}  // namespace skms::keystore
