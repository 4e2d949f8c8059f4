// AuditLog: the append-only chain of decisions in the database, with the token's checkpoints beside it
// (audit_values.h).
//
// Append runs inside a write transaction of Database; the writer's single thread gives the order. No user or
// UE identity goes in: a keyed pseudonym does (TS 33.434 4.1-e).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "hsm/crypto_module.h"
#include "keystore/audit_values.h"
#include "keystore/audit_verifier.h"
#include "keystore/database.h"

namespace skms::keystore {

/// Appends within the caller's transaction; `place`, where given, is where it stands. Throws SOCI's
/// exceptions, as all DatabaseWork may.
Status AppendAudit(soci::session& session, const Clock& clock, const AuditEntry& entry,
                   AuditSummary* place = nullptr);

/// Entries and newest hash. Errors: kStorage.
Result<AuditSummary> ReadAuditHead(Database& database);

/// The whole chain that is here, with its checkpoints, through `verifier`. `watch` is called at each entry,
/// and ends it by its own errors. Errors: kStorage, kIntegrity.
Status VerifyAuditChain(
    Database& database, AuditVerifier& verifier, const std::function<Status()>& watch = [] { return Ok(); });

/// The whole chain by the keys that the tokens hold. Errors: as above, the token's.
Result<AuditVerdict> VerifyChainOf(
    Database& database, hsm::CryptoModule& module,
    const std::function<Status()>& watch = [] { return Ok(); });

/// The entries after one that was signed, up to `head`; after 0: all. Errors: kStorage, kIntegrity.
Status VerifyAuditFrom(Database& database, std::int64_t seq, const std::string& hash,
                       const AuditSummary& head);

/// Up to `limit` entries after `after`, and the checkpoints of them and of `after` itself, or of what was
/// archived: the first of them says what was before. Errors: kStorage, kIntegrity (a checkpoint is none).
Result<AuditPage> ReadAuditPage(Database& database, std::int64_t after, std::uint32_t limit);
/// Oldest first. Errors: kStorage.
Result<std::vector<AuditRecord>> SearchAudit(Database& database, const AuditQuery& query);

/// nullopt: there is none yet. Of the newest entry that was signed, not the newest signature. Errors:
/// kStorage, kIntegrity.
Result<std::optional<AuditCheckpoint>> ReadLastCheckpoint(Database& database);
/// The one that speaks of this entry. Errors: as above.
Result<std::optional<AuditCheckpoint>> ReadCheckpointOf(Database& database, std::int64_t seq);
Status AddCheckpoints(Database& database, const std::vector<AuditCheckpoint>& checkpoints);

/// Entries up to this one are in archives; 0: none. What is left of them here is nobody's.
Result<std::int64_t> ReadArchived(Database& database);
/// What is noted of how far the chain was sent elsewhere; empty: nothing. Errors: kStorage.
Result<std::string> ReadExported(Database& database);
Status WriteExported(Database& database, const std::string& value);
/// Within the caller's transaction: entries up to this one go, and `entry` says so, with the range as its
/// reason. Errors: kConflict (they are gone already).
Status Archive(soci::session& session, const Clock& clock, std::int64_t seq, const std::string& hash,
               AuditEntry entry);
/// Deletes some of what was archived; how many entries, 0: nothing is left. Errors: kStorage.
Result<std::int64_t> DeleteArchived(Database& database, std::uint32_t most);

}  // namespace skms::keystore
