// The tables, and the forward migrations that lead to them. A migration, once released, is never edited.
#pragma once

#include "keystore/database.h"

namespace skms::keystore {

inline constexpr int kSchemaVersion = 7;

/// Brings an empty or older database to kSchemaVersion, one transaction a step. Errors: kNewerSchema,
/// kStorage.
Status Migrate(Database& database);

/// 0 for an empty database.
Result<int> ReadSchemaVersion(Database& database);

}  // namespace skms::keystore
