// KeyRecords: key versions as rows, each with its MAC checked on the way out.
//
// Functions over a database connection; the MAC is made and checked outside transactions, for it needs the
// token.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keystore/database.h"
#include "keystore/key_store.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

/// A version with the MAC that stands beside it.
struct StoredKeyVersion {
  KeyVersion version;
  RowMac mac;
};

RowFields FieldsOf(const KeyVersion& version);
/// "key <kid>": names a row without its target, which may be a user's identity.
std::string RowName(const KeyVersion& version);

/// Newest version of a selector; nullopt when there is none. The MAC is not yet checked.
Result<std::optional<StoredKeyVersion>> ReadNewest(Database& database, const Selector& selector);
/// Every version of a selector, newest first, tombstones too.
Result<std::vector<StoredKeyVersion>> ReadVersions(Database& database, const Selector& selector);
Result<std::optional<StoredKeyVersion>> ReadByKid(Database& database, const Kid& kid);
Result<std::vector<StoredKeyVersion>> ReadPage(Database& database, const KeyListQuery& query);
Result<std::int64_t> CountVersions(Database& database, const ValServiceId* service);

// Inside a write transaction; throw SOCI's exceptions.
void InsertVersion(soci::session& session, const StoredKeyVersion& stored);
/// Writes what a transition changes: state, times, release, who and why, and the wrapped bytes.
void UpdateState(soci::session& session, const StoredKeyVersion& stored);
/// Highest version number of the selector, 0 for none.
int NewestNumber(soci::session& session, const Selector& selector);

}  // namespace skms::keystore
