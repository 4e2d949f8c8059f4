// AuditLog: the append-only chain of decisions. Each entry's hash covers the entry and the hash before it, so
// that an entry changed, dropped, put in or moved breaks the chain from there on (a cut tail shows in the
// head's hash only).
//
// Append runs inside a write transaction of Database; the writer's single thread gives the order. No user or
// UE identity goes in: a keyed pseudonym does (TS 33.434 4.1-e).
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "keystore/database.h"
#include "keystore/key_store.h"

namespace skms::keystore {

struct AuditEntry {
  std::string actor;
  std::string action;   ///< "deliver", "create", "rotate", "service.add", …
  std::string outcome;  ///< "granted" or "refused"
  std::string service;
  std::string target_kind;
  std::string target_pseudonym;
  std::string kid;
  std::string reason;
  std::string request_id;
};

/// Appends within the caller's transaction. Throws SOCI's exceptions, as all DatabaseWork may.
Status AppendAudit(soci::session& session, const Clock& clock, const AuditEntry& entry);

/// Entries and newest hash. Errors: kStorage.
Result<AuditSummary> ReadAuditHead(Database& database);

/// Walks the whole chain. kIntegrity names the first entry that does not fit.
Result<AuditSummary> VerifyAuditChain(Database& database);

}  // namespace skms::keystore
