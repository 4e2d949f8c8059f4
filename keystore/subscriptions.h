// Subscriptions: how far each of them has been told of the events, and which events it may be told.
//
// The place of a subscription in the list of events is one number, written after its receiver said 2xx: what
// was sent and not confirmed is sent again (at least once, in order). The place is not under a MAC: whoever
// moves it by hand repeats or hides tellings, and opens no key.
#pragma once

#include <cstdint>
#include <vector>

#include "keystore/directory.h"
#include "keystore/key_events.h"

namespace skms::keystore {

/// Within a write transaction. Throw SOCI's exceptions.
void WritePosition(soci::session& session, const SubscriptionId& id, std::int64_t position);
/// False: it has no place any more.
bool MovePosition(soci::session& session, const SubscriptionId& id, std::int64_t position);
void DropPosition(soci::session& session, const SubscriptionId& id);
/// The smallest position of all; the newest event's where there is no subscription.
std::int64_t SmallestPosition(soci::session& session);

Result<std::int64_t> ReadPosition(Database& database, const SubscriptionId& id);

/// May this principal read the event's key: as a reader of its service, or as a group server of its group's
/// service? As the directory is now, not as it was at the event.
bool MayBeTold(const DirectorySnapshot& directory, const PrincipalId& principal, const KeyEvent& event);

}  // namespace skms::keystore
