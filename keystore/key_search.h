// KeySearch: what is looked for among key versions, by indexes that lead straight to it: ten million rows
// must not be read for a page of a hundred.
//
// Functions over a database connection, thread-safe as the Database is. Unless a function says otherwise,
// MACs are not checked: whoever uses a version checks it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hsm/token_values.h"
#include "keystore/database.h"
#include "keystore/key_records.h"
#include "keystore/key_store_values.h"
#include "keystore/store_figures.h"

namespace skms::keystore {

/// A page in the order of service, kind, target and version. Errors: kInvalidArgument (`after_kid` is no
/// key's, or the prefix no UTF-8), kStorage, kStoreUnavailable, kIntegrity (a row that skms never wrote).
Result<std::vector<StoredKeyVersion>> ReadPage(Database& database, const KeyListQuery& query);

/// From the counts that stand beside the rows.
Result<StateCounts> CountStates(Database& database);

/// Versions under another MAC key or KEK than those in use, in the order of kids.
struct OldVersions {
  std::vector<StoredKeyVersion> page;
  std::optional<std::string> seen_until;  ///< go on after this kid; nullopt: there are no more
};
/// At most `limit` of them, and some thousand rows looked at: where few are left among millions, a page may
/// be empty and not the last.
Result<OldVersions> ReadNotUnder(Database& database, const hsm::TokenKeyGenerations& use,
                                 const std::string& after_kid, int limit);

// What rotation by time looks for, earliest first, by partial indexes that hold little else.
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

}  // namespace skms::keystore
