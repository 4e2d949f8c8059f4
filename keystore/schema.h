// The tables, and the forward migrations that lead to them. A migration, once released, is never edited.
#pragma once

#include <array>
#include <string>

#include "keystore/database.h"

namespace skms::keystore {

inline constexpr int kSchemaVersion = 11;

/// All of them, as of kSchemaVersion.
inline constexpr std::array<const char*, 18> kTables{
    "approvals",     "audit",        "audit_checkpoints", "group_members",
    "issuers",       "key_events",   "key_versions",      "meta",
    "payloads",      "principals",   "recipients",        "service_records",
    "services",      "state_counts", "store_changes",     "subscription_positions",
    "subscriptions", "val_groups"};

/// Brings an empty or older database to kSchemaVersion, one transaction a step. Errors: kNewerSchema,
/// kStorage.
Status Migrate(Database& database);

/// As Migrate; a database of an older version, which stands at `path`, is copied to `path`.schema-N before, N
/// being that version: the way back. Errors: also kIo, and kStorage where there is no room for it; the
/// database is as it was then.
Status MigrateWithCopy(Database& database, const std::string& path);

/// 0 for an empty database.
Result<int> ReadSchemaVersion(Database& database);

}  // namespace skms::keystore
