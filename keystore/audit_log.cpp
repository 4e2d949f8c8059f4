#include "keystore/audit_log.h"

#include <soci/soci.h>

#include <utility>

#include "base/digest.h"
#include "base/encoding.h"
#include "keystore/prepared_statements.h"

namespace skms::keystore {
namespace {

constexpr const char* kGenesis = "0000000000000000000000000000000000000000000000000000000000000000";

std::string HashOf(long long seq, long long time_ms, const AuditEntry& entry, const std::string& previous) {
  Bytes fields;
  AppendField(fields, std::string_view("skms audit v1"));
  AppendField(fields, previous);
  AppendField(fields, static_cast<std::int64_t>(seq));
  AppendField(fields, static_cast<std::int64_t>(time_ms));
  for (const std::string* field :
       {&entry.actor, &entry.action, &entry.outcome, &entry.service, &entry.target_kind,
        &entry.target_pseudonym, &entry.kid, &entry.reason, &entry.request_id}) {
    AppendField(fields, *field);
  }
  return ToHex(Sha256(fields));
}

struct SelectHead {
  explicit SelectHead(soci::session& session)
      : statement((session.prepare << "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
                   soci::into(seq), soci::into(hash))) {}
  long long seq = 0;
  std::string hash;
  soci::statement statement;
};

struct InsertEntry {
  explicit InsertEntry(soci::session& session)
      : statement(
            (session.prepare
                 << "INSERT INTO audit (seq, time_ms, actor, action, outcome, service, target_kind,"
                    " target_pseudonym, kid, reason, request_id, prev_hash, hash) VALUES (:seq, :time_ms,"
                    " :actor, :action, :outcome, :service, :target_kind, :target_pseudonym, :kid, :reason,"
                    " :request_id, :prev_hash, :hash)",
             soci::use(seq), soci::use(time_ms), soci::use(entry.actor), soci::use(entry.action),
             soci::use(entry.outcome), soci::use(entry.service), soci::use(entry.target_kind),
             soci::use(entry.target_pseudonym), soci::use(entry.kid), soci::use(entry.reason),
             soci::use(entry.request_id), soci::use(previous), soci::use(hash))) {}
  long long seq = 0;
  long long time_ms = 0;
  AuditEntry entry;
  std::string previous;
  std::string hash;
  soci::statement statement;
};

AuditSummary HeadOf(soci::session& session) {
  const auto select = PreparedStatements::Of<SelectHead>(session);
  if (!select->statement.execute(true)) return {0, kGenesis};
  AuditSummary head{select->seq, select->hash};
  while (select->statement.fetch()) {
  }
  return head;
}

}  // namespace

Status AppendAudit(soci::session& session, const Clock& clock, const AuditEntry& entry) {
  AuditSummary head = HeadOf(session);
  const auto insert = PreparedStatements::Of<InsertEntry>(session);
  insert->seq = head.entries + 1;
  insert->time_ms = clock.NowMilliseconds();
  insert->entry = entry;
  insert->hash = HashOf(insert->seq, insert->time_ms, entry, head.head);
  insert->previous = std::move(head.head);
  insert->statement.execute(true);
  return Ok();
}

Result<AuditSummary> ReadAuditHead(Database& database) {
  AuditSummary head;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    head = HeadOf(session);
    return Ok();
  }));
  return head;
}

Result<AuditSummary> VerifyAuditChain(Database& database) {
  AuditSummary verified{0, kGenesis};
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    long long seq = 0;
    long long time_ms = 0;
    AuditEntry entry;
    std::string previous;
    std::string hash;
    soci::statement select =
        (session.prepare
             << "SELECT seq, time_ms, actor, action, outcome, service, target_kind, target_pseudonym, kid,"
                " reason, request_id, prev_hash, hash FROM audit ORDER BY seq",
         soci::into(seq), soci::into(time_ms), soci::into(entry.actor), soci::into(entry.action),
         soci::into(entry.outcome), soci::into(entry.service), soci::into(entry.target_kind),
         soci::into(entry.target_pseudonym), soci::into(entry.kid), soci::into(entry.reason),
         soci::into(entry.request_id), soci::into(previous), soci::into(hash));
    select.execute();
    while (select.fetch()) {
      const bool fits = seq == verified.entries + 1 && previous == verified.head &&
                        hash == HashOf(seq, time_ms, entry, previous);
      if (!fits) {
        return IntegrityError("the audit chain breaks at entry " + std::to_string(verified.entries + 1) +
                              ": an entry was changed, dropped or put in");
      }
      verified = {seq, hash};
    }
    return Ok();
  }));
  return verified;
}

}  // namespace skms::keystore
