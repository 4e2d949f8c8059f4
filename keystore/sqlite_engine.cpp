#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <stdexcept>
#include <utility>

#include "keystore/database_engine.h"
#include "keystore/prepared_statements.h"

namespace skms::keystore {
namespace {

/// A setting that durability or secrecy rests on, and that SQLite did not take.
class PragmaRefused : public std::runtime_error {
 public:
  explicit PragmaRefused(const char* name)
      : std::runtime_error(std::string("SQLite did not take the setting ") + name +
                           "; keep the database on a local file system") {}
};

/// A statement without values that each write runs: parsed once.
struct Command {
  Command(soci::session& session, const char* text) : statement((session.prepare << text)) {}
  soci::statement statement;
};
struct BeginImmediate : Command {
  explicit BeginImmediate(soci::session& session) : Command(session, "BEGIN IMMEDIATE") {}
};
struct CommitAll : Command {
  explicit CommitAll(soci::session& session) : Command(session, "COMMIT") {}
};
struct Savepoint : Command {
  explicit Savepoint(soci::session& session) : Command(session, "SAVEPOINT one_change") {}
};
struct Release : Command {
  explicit Release(soci::session& session) : Command(session, "RELEASE one_change") {}
};

template <class Kept>
void Run(soci::session& session) {
  PreparedStatements::Of<Kept>(session)->statement.execute(true);
}

class SqliteEngine : public DatabaseEngine {
 public:
  explicit SqliteEngine(std::string path) : path_(std::move(path)) {}

  std::string Name() const override { return path_; }

  bool is_file() const override { return true; }

  std::unique_ptr<soci::session> Connect() const override {
    return std::make_unique<soci::session>(soci::sqlite3, "db=\"" + path_ + "\"");
  }
  void Prepare(soci::session& session) const override {
    struct Pragma {
      const char* name;
      const char* value;
      const char* reads_back;
    };
    // SQLite does not always do as it is told (a file system without shared memory has no WAL), and says so
    // only when asked.
    for (const Pragma& pragma : {Pragma{"busy_timeout", "5000", "5000"}, Pragma{"journal_mode", "WAL", "wal"},
                                 Pragma{"synchronous", "FULL", "2"}, Pragma{"foreign_keys", "ON", "1"},
                                 Pragma{"trusted_schema", "OFF", "0"}, Pragma{"secure_delete", "ON", "1"},
                                 // LogKeeper moves it.
                                 Pragma{"wal_autocheckpoint", "0", "0"}}) {
      std::string answer;
      soci::indicator null = soci::i_ok;
      const std::string name = std::string("PRAGMA ") + pragma.name;
      session << name + "=" + pragma.value, soci::into(answer, null);
      session << name, soci::into(answer, null);
      if (answer != pragma.reads_back) throw PragmaRefused(pragma.name);
    }
  }
  bool is_shared() const override { return false; }
  bool TryToLead(soci::session& /*session*/) const override { return true; }
  void LeadNoMore(soci::session& /*session*/) const override {}
  /// Other processes are kept out by DatabaseLock.
  void BecomeWriter(soci::session& /*session*/) const override {}
  int SocketOf(soci::session& /*session*/) const override { return -1; }

  Error Describe(const std::exception& thrown) const override {
    if (const auto* refused = dynamic_cast<const PragmaRefused*>(&thrown))
      return StorageError(refused->what());
    std::string detail = "the database refused";
    if (const auto* sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&thrown)) {
      const int code = sqlite->result();
      detail += std::string(" (") + sqlite_api::sqlite3_errstr(code) + ")";
      if (code == SQLITE_FULL || code == SQLITE_IOERR) detail += ": check the free space of its file system";
    } else {
      // sqlite3_soci_error is thrown for most; the rest (e.g. a failing trigger) says so in words without
      // values.
      const std::string text = thrown.what();
      detail += text.find("full") != std::string::npos
                    ? " (disk full): check the free space of its file system"
                    : "";
    }
    return StorageError(std::move(detail));
  }
  bool MeansLost(const std::exception& /*thrown*/, soci::session& /*session*/) const override {
    return false;
  }

  void ForgetStatements(soci::session& /*session*/) const override {}
  void BeginWrite(soci::session& session) const override { Run<BeginImmediate>(session); }
  void Commit(soci::session& session) const override { Run<CommitAll>(session); }
  void BeginChange(soci::session& session) const override { Run<Savepoint>(session); }
  void UndoChange(soci::session& session) const override { session << "ROLLBACK TO one_change"; }
  void EndChange(soci::session& session) const override { Run<Release>(session); }
  void BeginSnapshot(soci::session& session, bool /*at_length*/) const override { session << "BEGIN"; }
  void EndSnapshot(soci::session& session) const override { session << "ROLLBACK"; }

  int MoveLog(soci::session& session) const override {
    int busy = 1;
    int pages = 0;
    int moved = 0;
    session << "PRAGMA wal_checkpoint(PASSIVE)", soci::into(busy), soci::into(pages), soci::into(moved);
    return pages;
  }

  Status EmptyLog(soci::session& session) const override {
    int busy = 1;
    int pages = 0;
    int moved = 0;
    // Every writer waits behind this: it does not wait long for a reader.
    session << "PRAGMA busy_timeout=250";
    session << "PRAGMA wal_checkpoint(TRUNCATE)", soci::into(busy), soci::into(pages), soci::into(moved);
    session << "PRAGMA busy_timeout=5000";
    if (busy != 0) return StorageError("the write-ahead log is in use and cannot be emptied; try again");
    return Ok();
  }

  Status CopyTo(soci::session& session, const std::string& path) const override {
    session << "VACUUM INTO :path", soci::use(path);
    return Ok();
  }

  bool HasTable(soci::session& session, const std::string& name) const override {
    int tables = 0;
    session << "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name", soci::into(tables),
        soci::use(name);
    return tables > 0;
  }
  long long Size(soci::session& session) const override {
    long long pages = 0;
    long long octets = 0;
    session << "PRAGMA page_count", soci::into(pages);
    session << "PRAGMA page_size", soci::into(octets);
    return pages * octets;
  }

 private:
  const std::string path_;
};

}  // namespace

std::unique_ptr<DatabaseEngine> MakeSqliteEngine(const std::string& path) {
  return std::make_unique<SqliteEngine>(path);
}

}  // namespace skms::keystore
