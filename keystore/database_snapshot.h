// Copies of a whole database while others write, and looks at a database file before it is anybody's.
//
// Functions; thread-safe.
#pragma once

#include <string>

#include "base/result.h"
#include "keystore/database.h"

namespace skms::keystore {

/// The database as it is at one moment, all that was committed before the call included, into a new file of
/// mode 0600, by SQLite's online backup. Writers go on meanwhile; only the emptying of the write-ahead log
/// waits. Errors: kStorage (also: no room; nothing is left), kIo.
Status WriteSnapshot(Database& database, const std::string& path);

/// SQLite's own look at every page. Errors: kIntegrity (says what SQLite says of the first), kStorage.
Status CheckDatabaseFile(const std::string& path);

/// Whether more is in it than `skmsctl init` puts there. A file that is not there is empty. Errors: kStorage:
/// it is no database of ours.
Result<bool> HasContent(const std::string& path);

/// A database file with what SQLite keeps beside it. Errors: kIo.
Status RemoveDatabase(const std::string& path);

}  // namespace skms::keystore
