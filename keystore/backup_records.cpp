// What the audit chain says of backups: shown, tried, restored.
#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "keystore/approval_rows.h"
#include "keystore/audit_log.h"
#include "keystore/backup.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

// A report is recorded by whoever made it, at once.
constexpr std::int64_t kOldestReportMs = 600000;
constexpr std::int64_t kClockStepMs = 60000;  // back, between the drill and the daemon

/// Nobody has seen the backup here: its statement can be shown by whoever has it.
Result<AuditEntry> EntryOfStatement(const Jws& jws) {
  SKMS_TRY(const BackupStatement statement, ReadBackupStatement(jws.payload));
  AuditEntry entry;
  entry.action = "backup.shown";
  entry.outcome = "granted";
  entry.reason = "made=" + FormatUtc(statement.time_ms / 1000) + " sha256=" + statement.hash;
  return entry;
}

std::string ReportMark(const Jws& jws) { return " report=" + ToHex(Sha256(AsBytes(jws.payload))); }

AuditEntry EntryOfReport(const DrillReport& report, const Jws& jws) {
  AuditEntry entry;
  entry.action = "backup.drill";
  entry.outcome = "granted";
  entry.reason = std::string(report.result()) + " at=" + FormatUtc(report.time_ms / 1000) +
                 " made=" + FormatUtc(report.backup_ms / 1000) + " sha256=" + report.hash +
                 " opened=" + std::to_string(report.opened()) + " damaged=" + std::to_string(report.damaged) +
                 " failed=" + std::to_string(report.failed) +
                 " chain=" + (report.chain.empty() ? "whole" : "changed") + ReportMark(jws);
  return entry;
}

/// Errors: kInvalidArgument, kAlreadyExists.
Status CheckNewReport(Database& database, const DrillReport& report, const Jws& jws, std::int64_t now) {
  if (report.time_ms < now - kOldestReportMs || report.time_ms > now + kClockStepMs) {
    return InvalidArgument("the report is of " + FormatUtc(report.time_ms / 1000) + ", and it is " +
                           FormatUtc(now / 1000) +
                           ": a drill is recorded within ten minutes or not at all; hold another one");
  }
  AuditQuery query;
  query.action = "backup.drill";
  query.since_ms = report.time_ms - kClockStepMs;
  query.limit = 1000;
  for (;;) {
    SKMS_TRY(const std::vector<AuditRecord> page, SearchAudit(database, query));
    for (const AuditRecord& record : page) {
      if (record.entry.reason.find(ReportMark(jws)) != std::string::npos)
        return AlreadyExists("this report of a drill is recorded already, in entry " +
                             std::to_string(record.seq));
    }
    if (page.size() < query.limit) return Ok();
    query.after = page.back().seq;
  }
}

std::string TextOf(const DatabaseCheck& found) {
  if (found.sound()) return "";
  std::string text = " damaged=" + std::to_string(found.rows.damaged) +
                     " chain=" + (found.chain.empty() ? "whole" : "changed: " + found.chain);
  for (const std::string& one : found.rows.trouble) {
    text += "; ";
    text += one;
  }
  return text;
}

}  // namespace

Status KeyStore::RecordBackupCheck(const Requester& by, const std::string& statement) {
  SKMS_TRY(const Jws jws, ReadJws(statement));
  SKMS_TRY(const std::vector<AuditKey> keys, AuditKeys());
  const bool ours = std::any_of(keys.begin(), keys.end(),
                                [&](const AuditKey& key) { return VerifyJws(jws, key.spki).has_value(); });
  if (!ours) return InvalidArgument("it is signed by no key that a token of this server holds");
  const std::lock_guard one_at_a_time(state_->backup_check_mutex);
  AuditEntry entry;
  if (jws.header.typ == kBackupType) {
    SKMS_TRY(entry, EntryOfStatement(jws));
  } else if (jws.header.typ == kDrillType) {
    SKMS_TRY(const DrillReport report, ReadDrillReport(jws.payload));
    SKMS_TRYV(CheckNewReport(*state_->database, report, jws, state_->clock.NowMilliseconds()));
    entry = EntryOfReport(report, jws);
  } else {
    return InvalidArgument("it is signed, and says nothing of a backup");
  }
  entry.actor = by.principal.value();
  entry.request_id = by.request_id;
  return state_->Record({&entry, 1});
}

Status KeyStore::RecordRestore(const Requester& by, const BackupContents& from, const DatabaseCheck& found,
                               const std::string& approval) {
  SKMS_TRY(const AuditSummary head, ReadAuditHead(*state_->database));
  if (head.entries != from.header.entries || head.head != from.header.head)
    return IntegrityError("the audit chain in the backup is another than its header says");
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = "backup.restore";
  entry.outcome = "granted";
  entry.reason = "made=" + FormatUtc(from.header.time_ms / 1000) +
                 " entries=" + std::to_string(head.entries) + " sha256=" + from.statement.hash + " " +
                 approval + TextOf(found);
  // Approvals that were used since the backup was made must not be used again.
  SKMS_TRYV(state_->database->Write([this, &entry](soci::session& session) -> Status {
    DeleteApprovalRows(session);
    return AppendAudit(session, state_->clock, entry);
  }));
  const auto signed_now = SignAudit();
  // What was changed after the last checkpoint is never signed, whoever says so.
  const bool known =
      !found.chain.empty() && signed_now.has_error() && signed_now.error().code == ErrorCode::kIntegrity;
  if (signed_now.has_error() && !known) return signed_now.error();
  return state_->database->EmptyLog();
}

}  // namespace skms::keystore
