// What the servers of one database tell each other of their changes: a row of `store_changes` in the
// transaction of each, numbered without gaps, and read by every other one before it writes.
//
// Functions of work on a connection: they throw as SOCI does. The caller is alone with the database
// (DatabaseEngine::BeginWrite of a shared one), so that what is read stands until the commit.
#pragma once

#include <cstdint>
#include <set>

#include "base/result.h"

namespace soci {
class session;
}

namespace skms::keystore {

struct ChangedElsewhere {
  std::int64_t newest = 0;         ///< number of the last change
  bool all = false;                ///< something that concerns more than places; or nobody knows
  std::set<std::uint32_t> places;  ///< of DeliveryCache, that changes of keys concern
};

/// After number `seen`. Errors: kIntegrity: a row that this program does not understand.
Result<ChangedElsewhere> ReadChangedElsewhere(soci::session& session, std::int64_t seen);

/// Number of the last change; 0: there was none.
std::int64_t NewestChange(soci::session& session);

/// Tells a change, whose `newest` is its own number. Rows that are older than every server's last look (or
/// would make it learn everything anew) are taken away now and then.
void TellChange(soci::session& session, const ChangedElsewhere& change);

}  // namespace skms::keystore
