#include <libpq-fe.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include <algorithm>
#include <initializer_list>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "keystore/database_engine.h"
#include "keystore/database_url.h"

namespace skms::keystore {
namespace {

constexpr const char* kLockNotAvailable = "55P03";
// Advisory locks of a database, with what ends a call.
constexpr const char* kDatabaseLock = "1936420211, hashtext(current_schema()))";
constexpr const char* kWriteLock = "1936420212, hashtext(current_schema()))";
constexpr const char* kLeadLock = "1936420213, hashtext(current_schema()))";
constexpr const char* kLockTimeout = "lock_timeout = '5s'";

/// Nobody was reached, or who was reached is of no use.
class NoServer : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
/// A setting of the server, or of the database, that nothing of ours can mend.
class Unsuitable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
class InUse : public std::runtime_error {
 public:
  InUse() : std::runtime_error("") {}
};

/// The commit stands, perhaps on this server alone.
class Uncertain : public std::runtime_error {
 public:
  Uncertain() : std::runtime_error("") {}
};

/// libpq's words name hosts, ports and roles; one line of them.
std::string FirstLine(std::string text) {
  constexpr std::string_view kSocis = "Cannot establish connection to the database.";
  if (text.rfind(kSocis, 0) == 0) text.erase(0, kSocis.size());
  text.erase(0, text.find_first_not_of(" \n"));
  return text.substr(0, text.find('\n'));
}

PGconn* ConnectionOf(soci::session& session) {
  // SOCI's library does not show this class's type information.
  return static_cast<soci::postgresql_session_backend*>(session.get_backend())->conn_;  // NOLINT(*-downcast)
}

bool IsOneOf(const std::string& state, std::initializer_list<const char*> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const char* one) { return state.rfind(one, 0) == 0; });
}

/// The server is not there, goes away, has no room for more, or took too long: another time it may do.
bool MayDoLater(const std::string& state) {
  return IsOneOf(state, {"08", "53", "57", "58", "25006", "25P03", "40001", "40P01", kLockNotAvailable});
}
/// It goes away, or takes no writes any more.
bool MeansGone(const std::string& state) { return IsOneOf(state, {"08", "57P", "25006", "25P03"}); }

/// Of this thread's last statement. A commit whose wait for a replica was cut short is told as a warning.
thread_local bool warned = false;

void TakeNotice(void* /*unused*/, const PGresult* result) {
  const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity != nullptr && std::string_view(severity) == "WARNING") warned = true;
}

std::string Shown(soci::session& session, const std::string& setting) {
  std::string value;
  session << "SHOW " + setting, soci::into(value);
  return value;
}

void CheckSettings(soci::session& session) {
  if (const std::string encoding = Shown(session, "server_encoding"); encoding != "UTF8")
    throw Unsuitable("its encoding is " + encoding + ", and must be UTF8: createdb --encoding=UTF8");
  // What is acknowledged is on disk, here as with SQLite.
  for (const char* setting : {"fsync", "full_page_writes"}) {
    if (Shown(session, setting) == "off")
      throw Unsuitable(std::string("its server runs with ") + setting +
                       "=off, and would lose keys that were acknowledged");
  }
  // Also where it is as it should be: of a setting of the session's own no reload of the server's takes it
  // away.
  const std::string commit = Shown(session, "synchronous_commit");
  session << "SET synchronous_commit = " + (commit == "off" || commit == "local" ? "on" : commit);
}

class PostgresqlEngine : public DatabaseEngine {
 public:
  PostgresqlEngine(const std::string& url, bool shared)
      : name_(PostgresqlName(url)), connection_(PostgresqlConnection(url)), shared_(shared) {}

  std::string Name() const override { return name_; }

  bool is_file() const override { return false; }
  bool is_shared() const override { return shared_; }

  std::unique_ptr<soci::session> Connect() const override {
    try {
      return std::make_unique<soci::session>(soci::postgresql, connection_);
    } catch (const std::exception& exception) {
      throw NoServer(FirstLine(exception.what()));
    }
  }

  void Prepare(soci::session& session) const override {
    PQsetNoticeReceiver(ConnectionOf(session), TakeNotice, nullptr);
    for (const char* setting :
         {"client_encoding = 'UTF8'",
          // Who holds something and is not heard of any more loses it, so that others can go on.
          "statement_timeout = '25s'", kLockTimeout, "idle_in_transaction_session_timeout = '60s'",
          "tcp_keepalives_idle = 5", "tcp_keepalives_interval = 2", "tcp_keepalives_count = 2",
          "client_min_messages = 'warning'"}) {
      session << std::string("SET ") + setting;
    }
    CheckSettings(session);
    // Prepared statements and the lock belong to a server process: it must be one and the same.
    int process = 0;
    session << "SELECT pg_backend_pid()", soci::into(process);
    if (process != PQbackendPID(ConnectionOf(session)))
      throw Unsuitable("a connection pooler stands before its server; name the server itself");
  }

  void BecomeWriter(soci::session& session) const override {
    // Of the connection, and gone with it: who has lost it cannot have written after that.
    // Not at once: a process that has just ended is heard of by the server a moment later.
    session << "SET lock_timeout = '3s'";
    try {
      session << std::string(shared_ ? "SELECT pg_advisory_lock_shared(" : "SELECT pg_advisory_lock(") +
                     kDatabaseLock;
    } catch (const soci::postgresql_soci_error& error) {
      if (error.sqlstate() == kLockNotAvailable) throw InUse();
      throw;
    }
    session << std::string("SET ") + kLockTimeout;
    // Who stops in the middle of a write keeps the other servers from theirs.
    if (shared_) session << "SET idle_in_transaction_session_timeout = '10s'";
  }

  bool TryToLead(soci::session& session) const override {
    if (!shared_) return true;
    int leads = 0;
    session << std::string("SELECT CASE WHEN pg_try_advisory_lock(") + kLeadLock + " THEN 1 ELSE 0 END",
        soci::into(leads);
    return leads == 1;
  }
  void LeadNoMore(soci::session& session) const override {
    // As often as it was taken.
    for (int held = shared_ ? 1 : 0; held == 1;)
      session << std::string("SELECT CASE WHEN pg_advisory_unlock(") + kLeadLock + " THEN 1 ELSE 0 END",
          soci::into(held);
  }

  int SocketOf(soci::session& session) const override { return PQsocket(ConnectionOf(session)); }

  Error Describe(const std::exception& thrown) const override {
    if (dynamic_cast<const InUse*>(&thrown) != nullptr)
      return Conflict(name_ + " is in use by another skmsd or skmsctl");
    if (dynamic_cast<const NoServer*>(&thrown) != nullptr)
      return Error{ErrorCode::kStoreUnavailable, "no database server: " + std::string(thrown.what())};
    if (dynamic_cast<const Unsuitable*>(&thrown) != nullptr)
      return StorageError("the database is not fit for keys: " + std::string(thrown.what()));
    if (dynamic_cast<const Uncertain*>(&thrown) != nullptr)
      return Error{ErrorCode::kStoreUnavailable, "the server did not wait for its replica"};
    const auto* refused = dynamic_cast<const soci::postgresql_soci_error*>(&thrown);
    if (refused == nullptr) return StorageError("the database refused");
    const std::string state = refused->sqlstate();
    const std::string detail = "the database refused (SQLSTATE " + state + ")";
    if (state == "53100") return StorageError(detail + ": its disk is full");
    return MayDoLater(state) ? Error{ErrorCode::kStoreUnavailable, detail} : StorageError(detail);
  }

  bool MeansLost(const std::exception& thrown, soci::session& session) const override {
    const PGconn* connection = ConnectionOf(session);
    if (connection == nullptr || PQstatus(connection) != CONNECTION_OK) return true;
    if (dynamic_cast<const Uncertain*>(&thrown) != nullptr) return true;
    const auto* refused = dynamic_cast<const soci::postgresql_soci_error*>(&thrown);
    return refused != nullptr && MeansGone(refused->sqlstate());
  }

  /// One that went within a transaction that had failed could not be told so.
  void ForgetStatements(soci::session& session) const override { session << "DEALLOCATE ALL"; }
  void BeginWrite(soci::session& session) const override {
    // Whatever the database's default is: only so does the statement after the lock see what was committed.
    session << "BEGIN ISOLATION LEVEL READ COMMITTED";
    // A statement of its own: what comes after it sees what was committed until then.
    if (shared_) session << std::string("SELECT pg_advisory_xact_lock(") + kWriteLock;
  }
  void BeginChange(soci::session& session) const override { session << "SAVEPOINT one_change"; }
  void UndoChange(soci::session& session) const override { session << "ROLLBACK TO one_change"; }
  void EndChange(soci::session& session) const override { session << "RELEASE one_change"; }
  void Commit(soci::session& session) const override {
    warned = false;
    session << "COMMIT";
    if (warned) throw Uncertain();
  }
  void BeginSnapshot(soci::session& session, bool at_length) const override {
    session << "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    if (!at_length) return;
    // What is read may take long to go where it goes.
    session << "SET LOCAL idle_in_transaction_session_timeout = 0";
    session << "SET LOCAL statement_timeout = 0";
  }
  void EndSnapshot(soci::session& session) const override { session << "ROLLBACK"; }

  /// The server's log of changes is its own, and its administrator's (docs/postgresql.md).
  int MoveLog(soci::session& /*session*/) const override { return 0; }
  Status EmptyLog(soci::session& /*session*/) const override { return Ok(); }
  Status CopyTo(soci::session& /*session*/, const std::string& /*path*/) const override {
    return Error{ErrorCode::kUnsupported,
                 "a PostgreSQL server's database is copied by skmsctl backup create"};
  }

  bool HasTable(soci::session& session, const std::string& name) const override {
    int tables = 0;
    session << "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = :name",
        soci::into(tables), soci::use(name);
    return tables > 0;
  }
  long long Size(soci::session& session) const override {
    long long octets = 0;
    session << "SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS BIGINT) FROM pg_class"
               " WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = "
               "current_schema())",
        soci::into(octets);
    return octets;
  }

 private:
  const std::string name_;
  const std::string connection_;
  const bool shared_;
};

}  // namespace

Result<std::unique_ptr<DatabaseEngine>> MakePostgresqlEngine(const std::string& url, bool shared) {
  SKMS_TRYV(CheckPostgresqlUrl(url));
  SKMS_TRYV(CheckPostgresqlEnvironment());
  return std::unique_ptr<DatabaseEngine>(std::make_unique<PostgresqlEngine>(url, shared));
}

}  // namespace skms::keystore
