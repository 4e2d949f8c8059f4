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
#include "keystore/store_figures.h"

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
Result<std::vector<StoredKeyVersion>> ReadPage(Database& database, const KeyListQuery& query);
/// From the counts that stand beside the rows.
Result<StateCounts> CountStates(Database& database);
/// In the order of kids, those that are under another MAC key or KEK than `use`.
Result<std::vector<StoredKeyVersion>> ReadNotUnder(Database& database, const hsm::TokenKeyGenerations& use,
                                                   const std::string& after_kid, int limit);

// What rotation by time looks for, earliest first, by partial indexes that hold little else. Unchecked: the
// versions themselves are read, checked and planned for after.
/// Made ahead, and their time has come.
Result<std::vector<Selector>> SelectorsToActivate(Database& database, std::int64_t now, int limit);
/// Active past their end.
Result<std::vector<Selector>> SelectorsToEnd(Database& database, std::int64_t now, int limit);
/// Active since `begun_until` or longer, with no version after them.
Result<std::vector<Selector>> SelectorsToFollow(Database& database, const ValServiceId& service,
                                                std::int64_t begun_until, int limit);
/// Active with an end at `ends_until` or sooner, and no version after them.
Result<std::vector<Selector>> SelectorsEndingUnfollowed(Database& database, const ValServiceId& service,
                                                        std::int64_t ends_until, int limit);
/// At most `most` versions that are due by `now` for activation or their end; and when the first one was.
struct DueVersions {
  std::int64_t count = 0;
  std::optional<std::int64_t> first;
};
Result<DueVersions> CountToActivateOrEnd(Database& database, std::int64_t now, std::int64_t most);
/// The same of those of a service that nothing follows.
Result<DueVersions> CountToFollow(Database& database, const Service& service, std::int64_t now,
                                  std::int64_t most);
/// Of the service's active versions without one after them: the earliest beginning and end.
struct UnfollowedTimes {
  std::optional<std::int64_t> not_before;
  std::optional<std::int64_t> not_after;
};
Result<UnfollowedTimes> EarliestUnfollowed(Database& database, const ValServiceId& service);

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
