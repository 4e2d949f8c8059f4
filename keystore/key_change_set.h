// KeyChangeSet: changes of key versions that stand or fall together, ready to be committed: rows with their
// MACs, what they were before, audit entries and events.
//
// Everything that needs the token is done while a set is made; committing it is SQL alone. Nothing is locked
// between the two: a set whose rows somebody else changed meanwhile is refused whole (kChangedMeanwhile).
// Plain values; not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "keystore/audit_log.h"
#include "keystore/key_events.h"
#include "keystore/key_records.h"

namespace skms::keystore {

struct KeyChangeSet {
  struct Update {
    StoredKeyVersion row;
    RowMac former;
  };
  struct Insert {
    StoredKeyVersion row;
    Service service;  ///< for whose policy it was made; it must still stand so
  };
  std::vector<Update> updates;
  std::vector<Insert> inserts;
  std::vector<AuditEntry> entries;
  std::vector<KeyEvent> events;

  /// True when it empties wrapped octets: the write-ahead log is to be emptied after.
  bool wipes() const;
  /// Whose versions it changes or adds to; one may be there twice.
  std::vector<Selector> selectors() const;
};

/// Writes the set within the caller's transaction; `place`, where given, is that of its last entry. Errors:
/// kChangedMeanwhile, kPermissionDenied (the service's limit of records is reached), kIntegrity. Throws
/// SOCI's exceptions.
Status Apply(soci::session& session, const Clock& clock, const KeyChangeSet& changes,
             AuditSummary* place = nullptr);

}  // namespace skms::keystore
