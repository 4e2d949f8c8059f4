// Copies of a whole database while others write, and looks at a database file before it is anybody's.
//
// Functions; thread-safe.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "keystore/database.h"

namespace skms::keystore {

/// The database as it is at one moment, all that was committed before the call included, into a new file of
/// mode 0600: by SQLite's online backup, or of PostgreSQL row by row into a SQLite database. Writers go on
/// meanwhile; only the emptying of the write-ahead log waits. `stopped` is asked at every step. Errors:
/// kStorage (also: no room), kResourceExhausted (it was stopped), kIo. Nothing is left then.
Status WriteSnapshot(Database& database, const std::string& path, const std::function<bool()>& stopped);
/// What a backup that was stopped ends with (kResourceExhausted).
Error BackupStopped();

/// SQLite's own look at every page. Errors: kIntegrity (says what SQLite says of the first), kStorage.
Status CheckDatabaseFile(const std::string& path);

/// Whether more is in it than `skmsctl init` puts there. A file that is not there is empty. Errors:
/// kConflict: beside it lies a log or journal with octets, which may hold what was acknowledged, whatever the
/// file itself holds; kStorage: it is no database of ours.
Result<bool> HasContent(const std::string& path);
/// The same of one that is open. Errors: kStorage, kStoreUnavailable.
Result<bool> HasContentIn(Database& database);
/// The file `made` takes the place of the database `path`, which has no content: whole and on the disk, or
/// not at all. Errors: kConflict (as HasContent), kIo.
Status ReplaceDatabase(const std::string& made, const std::string& path);

/// A database file with what SQLite keeps beside it. Errors: kIo.
Status RemoveDatabase(const std::string& path);

}  // namespace skms::keystore
