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

/// Every version of a selector, newest first, tombstones too.
Result<std::vector<StoredKeyVersion>> ReadVersions(soci::session& session, const Selector& selector);
Result<std::optional<StoredKeyVersion>> ReadByKid(Database& database, const Kid& kid);

// Inside a write transaction; throw SOCI's exceptions.
bool HasVersions(soci::session& session, const ValServiceId& service);
void InsertVersion(soci::session& session, const StoredKeyVersion& stored);
/// Writes what may change in a version's life: state, times, marks, who and why, and the wrapped bytes.
/// False: the row is not what `former` was the MAC of, so somebody else changed it first; nothing is written.
bool UpdateVersion(soci::session& session, const StoredKeyVersion& stored, const RowMac& former);
/// Writes the wrapped bytes, their KEK's generation and the MAC. False: as UpdateVersion.
bool RewrapVersion(soci::session& session, const StoredKeyVersion& stored, const RowMac& former);
/// Counts one more selector of the service; false: its limit is reached. The count is not under a MAC:
/// whoever changes it by hand gets more or fewer records, and no key.
bool CountRecord(soci::session& session, const Service& service);
/// Number of the version that protects (the newest active one), else of the newest; 1 where there is none.
std::uint32_t ProtectingNumber(soci::session& session, const Selector& selector);
/// Highest version number of the selector, 0 for none.
int NewestNumber(soci::session& session, const Selector& selector);

}  // namespace skms::keystore
