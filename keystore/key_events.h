// KeyEvents: what happened to keys, in order, for those who asked to be told. Never key material.
//
// One row a change, written in the change's own transaction, however many subscriptions there are: each
// subscription has its place in the list (keystore/subscriptions.h). Numbers grow and are never used again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "keystore/database.h"
#include "keystore/key_version.h"

namespace skms::keystore {

struct KeyEvent {
  std::int64_t number = 0;  ///< its place in the order of all events; 0 until it is written
  std::int64_t time = 0;    ///< seconds since 1970
  /// "made-ahead", "rotated", "rekeyed", or what an administrator did: "suspended", "resumed", "deactivated",
  /// "compromised", "released", "withheld", "destroyed".
  std::string event;
  Selector selector;
  Kid kid;
  std::uint32_t version = 1;
  KeyState state = KeyState::kActive;
};

/// Of a version, as it is now.
KeyEvent EventOf(std::string event, const KeyVersion& version);

/// The event's name for an action of keystore/key_life.h, "release" or "withhold": "suspend" → "suspended".
std::string EventFor(const std::string& action);

/// Within a write transaction, which also knows whether anybody is to be told. Throws SOCI's exceptions.
void AppendEvents(soci::session& session, std::int64_t time, const std::vector<KeyEvent>& events);

/// Events after `position`, oldest first. They are not under a MAC: whoever can write the database can have
/// subscribers told what is not so, which costs them a request.
Result<std::vector<KeyEvent>> ReadEvents(Database& database, std::int64_t position, int limit);

/// Number of the newest event, 0 for none. Throws SOCI's exceptions.
std::int64_t NewestEventIn(soci::session& session);

/// Within a write transaction: drops events up to `position`, but never the newest, from which the next
/// number is counted.
void PruneEvents(soci::session& session, std::int64_t position);

}  // namespace skms::keystore
