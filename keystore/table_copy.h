// Every row from one database to another, whichever of the two kinds each is of: backups of a PostgreSQL
// database, restoring into one, and moving to one.
//
// Functions; thread-safe for sessions of the caller's own.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "keystore/database.h"

namespace skms::keystore {

/// Within a transaction of the caller's on each: what the tables of `to` hold is replaced by what those of
/// `from` hold, as it is; no row's MAC is looked at. `stopped` is asked again and again. Errors: kIntegrity
/// (their tables differ, so they are not of one schema version), kResourceExhausted (it was stopped). Throws
/// SOCI's exceptions.
Status CopyTables(soci::session& from, soci::session& to, const std::function<bool()>& stopped);

/// All of `from` as it is at one moment into `to`, which is empty or brought to the present schema by this,
/// in one transaction, of which `last` is a part. Errors: as above, kStorage, kStoreUnavailable.
Status CopyDatabase(
    Database& from, Database& to, const std::function<bool()>& stopped,
    const std::function<void(soci::session&)>& last = [](soci::session&) {});

/// As it was before the copy, but for its schema, and for the mark of a move that is not at its end. Errors:
/// kStorage, kStoreUnavailable.
Status EmptyTables(Database& database);

}  // namespace skms::keystore
