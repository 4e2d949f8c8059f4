#include "keystore/audit_log.h"

#include <soci/soci.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "keystore/prepared_statements.h"

namespace skms::keystore {
namespace {

constexpr const char* kColumns =
    "seq, time_ms, actor, action, outcome, service, target_kind, target_pseudonym, kid, reason, request_id,"
    " prev_hash, hash";

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
             soci::use(seq), soci::use(time_ms), soci::use(record.entry.actor),
             soci::use(record.entry.action), soci::use(record.entry.outcome), soci::use(record.entry.service),
             soci::use(record.entry.target_kind), soci::use(record.entry.target_pseudonym),
             soci::use(record.entry.kid), soci::use(record.entry.reason), soci::use(record.entry.request_id),
             soci::use(record.previous), soci::use(record.hash))) {}
  long long seq = 0;
  long long time_ms = 0;
  AuditRecord record;
  soci::statement statement;
};

/// The chain's end as changes of the same transaction have left it.
struct KnownHead {
  std::optional<AuditSummary> head;
};

AuditSummary HeadOf(soci::session& session) {
  const auto select = PreparedStatements::Of<SelectHead>(session);
  if (!select->statement.execute(true)) return {0, kAuditGenesis};
  AuditSummary head{select->seq, select->hash};
  while (select->statement.fetch()) {
  }
  return head;
}

/// Entries as they stand in the order of a query.
class Entries {
 public:
  template <class... Uses>
  Entries(soci::session& session, const std::string& conditions, Uses... uses) : statement_(session) {
    statement_.exchange(soci::into(seq_));
    statement_.exchange(soci::into(time_ms_));
    AuditEntry& entry = record_.entry;
    for (std::string* column : {&entry.actor, &entry.action, &entry.outcome, &entry.service,
                                &entry.target_kind, &entry.target_pseudonym, &entry.kid, &entry.reason,
                                &entry.request_id, &record_.previous, &record_.hash})
      statement_.exchange(soci::into(*column));
    (statement_.exchange(uses), ...);
    statement_.alloc();
    statement_.prepare("SELECT " + std::string(kColumns) + " FROM audit WHERE " + conditions);
    statement_.define_and_bind();
    statement_.execute();
  }
  /// Valid until the next; nullptr: there is none.
  const AuditRecord* Next() {
    if (!statement_.fetch()) return nullptr;
    record_.seq = seq_;
    record_.time_ms = time_ms_;
    return &record_;
  }

 private:
  long long seq_ = 0;
  long long time_ms_ = 0;
  AuditRecord record_;
  soci::statement statement_;
};

/// In their order, a part of them in memory at a time. Errors: kIntegrity for one without a number; what
/// `take` gives.
Status EachEntry(soci::session& session, long long from, long long last,
                 const std::function<Status(const AuditRecord&)>& take) {
  constexpr long long kAtOnce = 2000;
  // SQLite keeps what is no whole number, too: text, greater than any number and read as the one that it
  // begins with, and fractions, read as what is before the point.
  long long unnumbered = 0;
  session << "SELECT COUNT(*) FROM audit WHERE seq IS NULL OR seq > 9223372036854775807"
             " OR (seq >= :from AND seq <= :last AND seq <> CAST(seq AS BIGINT))",
      soci::use(from), soci::use(last), soci::into(unnumbered);
  if (unnumbered > 0) return IntegrityError(std::to_string(unnumbered) + " audit entries bear no number");
  for (;;) {
    Entries entries(session, "seq >= :from AND seq <= :last ORDER BY seq LIMIT :most", soci::use(from),
                    soci::use(last), soci::use(kAtOnce));
    long long read = 0;
    long long newest = from;
    while (const AuditRecord* record = entries.Next()) {
      newest = record->seq;
      ++read;
      SKMS_TRYV(take(*record));
    }
    if (read < kAtOnce || newest == std::numeric_limits<long long>::max()) return Ok();
    from = newest + 1;
  }
}

Result<AuditCheckpoint> CheckpointOf(const std::string& text) {
  const auto jws = ReadJws(text);
  auto read = jws.has_value() ? ReadCheckpoint(jws.value(), text) : Result<AuditCheckpoint>(jws.error());
  if (read.has_error()) return IntegrityError("a stored audit checkpoint " + read.error().detail);
  return read;
}

Result<std::optional<AuditCheckpoint>> LastCheckpointWhere(soci::session& session,
                                                           const std::string& condition) {
  std::string text;
  long long number = 0;
  session << "SELECT jws, number FROM audit_checkpoints WHERE " << condition
          << " ORDER BY seq DESC, number DESC LIMIT 1",
      soci::into(text), soci::into(number);
  if (!session.got_data()) return std::optional<AuditCheckpoint>();
  SKMS_TRY(AuditCheckpoint checkpoint, CheckpointOf(text));
  checkpoint.number = number;
  return std::optional<AuditCheckpoint>(std::move(checkpoint));
}

long long ArchivedIn(soci::session& session) {
  long long seq = 0;
  session << "SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'audit_archived'", soci::into(seq);
  return session.got_data() ? seq : 0;
}

}  // namespace

Status AppendAudit(soci::session& session, const Clock& clock, const AuditEntry& entry, AuditSummary* place) {
  const auto known = PreparedStatements::OfTransaction<KnownHead>(session);
  if (!known->head) known->head = HeadOf(session);
  AuditSummary& head = *known->head;
  const auto insert = PreparedStatements::Of<InsertEntry>(session);
  AuditRecord& record = insert->record;
  record.seq = insert->seq = head.entries + 1;
  record.time_ms = insert->time_ms = clock.NowMilliseconds();
  record.entry = entry;
  record.previous = std::move(head.head);
  record.hash = AuditHash(record);
  known->head.reset();
  insert->statement.execute(true);
  known->head = {record.seq, record.hash};
  if (place != nullptr) *place = {record.seq, record.hash};
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

Status VerifyAuditChain(Database& database, AuditVerifier& verifier, const std::function<Status()>& watch) {
  return database.ReadSnapshotAtLength([&](soci::session& session) -> Status {
    const long long archived = ArchivedIn(session);
    long long of = 0;
    std::string text;
    soci::statement checkpoints =
        (session.prepare
             << "SELECT seq, jws FROM audit_checkpoints WHERE seq >= :archived OR handover = 1 ORDER BY"
                " seq, number",
         soci::use(archived), soci::into(of), soci::into(text));
    checkpoints.execute();
    bool more = checkpoints.fetch();
    const auto take_up_to = [&](long long seq) -> Status {
      for (; more && of <= seq; more = checkpoints.fetch()) SKMS_TRYV(verifier.TakeCheckpoint(text));
      return Ok();
    };
    if (archived > 0) SKMS_TRYV(take_up_to(archived));
    // A number that no entry can have is somebody's, too.
    const long long from = archived > 0 ? archived + 1 : std::numeric_limits<long long>::min();
    SKMS_TRYV(EachEntry(session, from, std::numeric_limits<long long>::max(),
                        [&](const AuditRecord& record) -> Status {
                          SKMS_TRYV(watch());
                          SKMS_TRYV(verifier.Take(record));
                          return take_up_to(record.seq);
                        }));
    for (; more; more = checkpoints.fetch()) SKMS_TRYV(verifier.TakeCheckpoint(text));
    // Archiving leaves an entry behind that says so.
    if (archived > 0 && verifier.verdict().first == 0)
      return IntegrityError("entries up to " + std::to_string(archived) +
                            " are said to be archived, and none follows");
    return verifier.Finish({.unsigned_tail = true});
  });
}

Status VerifyAuditFrom(Database& database, std::int64_t seq, const std::string& hash,
                       const AuditSummary& head) {
  return database.ReadSnapshot([&](soci::session& session) -> Status {
    const Error changed =
        IntegrityError("the audit chain was changed behind the daemon's back between entry " +
                       std::to_string(seq) + ", which was signed, and entry " + std::to_string(head.entries));
    const long long last = head.entries;
    std::int64_t expected = seq + 1;
    std::string previous = seq == 0 ? kAuditGenesis : hash;
    SKMS_TRYV(EachEntry(session, expected, last, [&](const AuditRecord& record) -> Status {
      if (record.seq != expected || record.previous != previous || record.hash != AuditHash(record))
        return changed;
      previous = record.hash;
      ++expected;
      return Ok();
    }));
    return expected == last + 1 && previous == head.head ? Ok() : Status(changed);
  });
}

Result<AuditPage> ReadAuditPage(Database& database, std::int64_t after, std::uint32_t limit) {
  AuditPage page;
  SKMS_TRYV(database.ReadSnapshot([&](soci::session& session) -> Status {
    const long long first = std::max<long long>(after, ArchivedIn(session));
    const long long most = static_cast<long long>(limit) + 1;
    Entries entries(session, "seq > :first ORDER BY seq LIMIT :most", soci::use(first), soci::use(most));
    while (const AuditRecord* record = entries.Next()) {
      page.more = page.entries.size() == limit;
      if (!page.more) page.entries.push_back(*record);
    }
    const long long last = page.entries.empty() ? first : page.entries.back().seq;
    std::string text;
    long long number = 0;
    // To what is read first belong the handovers among what was archived: the keys' way to the present one.
    const int handovers = first == ArchivedIn(session) ? 1 : 2;
    soci::statement checkpoints =
        (session.prepare
             << "SELECT jws, number FROM audit_checkpoints WHERE (seq >= :first AND seq <= :last) OR"
                " (handover = :handover AND seq < :first2) ORDER BY seq, number",
         soci::use(first), soci::use(last), soci::use(handovers), soci::use(first), soci::into(text),
         soci::into(number));
    checkpoints.execute();
    while (checkpoints.fetch()) {
      SKMS_TRY(AuditCheckpoint checkpoint, CheckpointOf(text));
      checkpoint.number = number;
      page.checkpoints.push_back(std::move(checkpoint));
    }
    return Ok();
  }));
  return page;
}

Result<std::vector<AuditRecord>> SearchAudit(Database& database, const AuditQuery& query) {
  std::vector<AuditRecord> found;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    const long long after = query.after;
    const long long since = query.since_ms.value_or(0);
    const long long before = query.before_ms.value_or(std::numeric_limits<long long>::max());
    const long long most = query.limit;
    const bool prefix = !query.action.empty() && query.action.back() == '.';
    std::string conditions = "seq > :after AND time_ms >= :since AND time_ms < :before";
    // An empty filter is always met; bound all the same, so that the places of the values stay.
    for (const char* column : {"actor", "outcome", "service", "kid", "target_pseudonym", "request_id"})
      conditions += std::string(" AND (:") + column + " = '' OR " + column + " = :" + column + "2)";
    conditions += prefix ? " AND substr(action, 1, length(:action)) = :action2"
                         : " AND (:action = '' OR action = :action2)";
    Entries entries(session, conditions + " ORDER BY seq LIMIT :most", soci::use(after), soci::use(since),
                    soci::use(before), soci::use(query.actor), soci::use(query.actor),
                    soci::use(query.outcome), soci::use(query.outcome), soci::use(query.service),
                    soci::use(query.service), soci::use(query.kid), soci::use(query.kid),
                    soci::use(query.target_pseudonym), soci::use(query.target_pseudonym),
                    soci::use(query.request_id), soci::use(query.request_id), soci::use(query.action),
                    soci::use(query.action), soci::use(most));
    while (const AuditRecord* record = entries.Next()) found.push_back(*record);
    return Ok();
  }));
  return found;
}

Result<std::optional<AuditCheckpoint>> ReadLastCheckpoint(Database& database) {
  std::optional<AuditCheckpoint> last;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    SKMS_TRY(last, LastCheckpointWhere(session, "1 = 1"));
    return Ok();
  }));
  return last;
}

Result<std::optional<AuditCheckpoint>> ReadCheckpointOf(Database& database, std::int64_t seq) {
  std::optional<AuditCheckpoint> found;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    SKMS_TRY(found, LastCheckpointWhere(session, "seq = " + std::to_string(seq)));
    return Ok();
  }));
  return found;
}

Status AddCheckpoints(Database& database, const std::vector<AuditCheckpoint>& checkpoints) {
  const DatabaseWork add = [&checkpoints](soci::session& session) -> Status {
    long long number = 0;
    session << "SELECT COALESCE(MAX(number), 0) FROM audit_checkpoints", soci::into(number);
    for (const AuditCheckpoint& one : checkpoints) {
      const long long seq = one.seq;
      if (number == std::numeric_limits<long long>::max())
        return IntegrityError("a stored audit checkpoint has a number that none can have");
      ++number;
      const int handover = one.next_key.empty() ? 0 : 1;
      session
          << "INSERT INTO audit_checkpoints (number, seq, handover, jws) VALUES (:number, :seq, :handover,"
             " :jws)",
          soci::use(number), soci::use(seq), soci::use(handover), soci::use(one.jws);
    }
    return Ok();
  };
  return database.WriteAnyway(add, Touches::kNothingDelivered);
}

Result<std::int64_t> ReadArchived(Database& database) {
  std::int64_t seq = 0;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    seq = ArchivedIn(session);
    return Ok();
  }));
  return seq;
}

Result<std::string> ReadExported(Database& database) {
  std::string value;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    session << "SELECT value FROM meta WHERE name = 'audit_exported'", soci::into(value);
    if (!session.got_data()) value.clear();
    return Ok();
  }));
  return value;
}

Status WriteExported(Database& database, const std::string& value) {
  const DatabaseWork write = [&value](soci::session& session) -> Status {
    session << "DELETE FROM meta WHERE name = 'audit_exported'";
    session << "INSERT INTO meta (name, value) VALUES ('audit_exported', :value)", soci::use(value);
    return Ok();
  };
  return database.WriteAnyway(write, Touches::kNothingDelivered);
}

Status Archive(soci::session& session, const Clock& clock, std::int64_t seq, const std::string& hash,
               AuditEntry entry) {
  const long long before = ArchivedIn(session);
  if (seq <= before) return Conflict("entries up to " + std::to_string(before) + " are archived already");
  entry.reason = "entries=" + std::to_string(before + 1) + ArchiveReasonEnd(seq, hash);
  // First, so that the newest entry is never among those that go.
  SKMS_TRYV(AppendAudit(session, clock, entry));
  const std::string value = std::to_string(seq);
  session << "DELETE FROM meta WHERE name = 'audit_archived'";
  session << "INSERT INTO meta (name, value) VALUES ('audit_archived', :value)", soci::use(value);
  return Ok();
}

Result<std::int64_t> DeleteArchived(Database& database, std::uint32_t most) {
  long long deleted = 0;
  const DatabaseWork remove = [&](soci::session& session) -> Status {
    const long long archived = ArchivedIn(session);
    long long first = 0;
    session << "SELECT COALESCE(MIN(seq), 0) FROM audit", soci::into(first);
    deleted = 0;
    if (first == 0 || first > archived) return Ok();
    const long long last = std::min<long long>(archived, first + most - 1);
    session << "DELETE FROM audit WHERE seq <= :last", soci::use(last);
    session << "DELETE FROM audit_checkpoints WHERE seq < :last AND handover = 0", soci::use(last);
    deleted = last - first + 1;
    return Ok();
  };
  SKMS_TRYV(database.WriteAnyway(remove, Touches::kNothingDelivered));
  return deleted;
}

}  // namespace skms::keystore
