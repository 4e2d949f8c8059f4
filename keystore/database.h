// Database: SQLite or PostgreSQL through SOCI; read connections, and one writer thread that commits many
// small changes together.
//
// The one place where SOCI's exceptions become Errors (kStorage; kStoreUnavailable where a server is gone:
// it is connected to again by what comes next). Each change runs in a savepoint of its own, so that one that
// fails takes no other with it, and its caller hears of success only after the commit is on disk (WAL,
// synchronous=FULL; synchronous_commit). A commit whose answer is lost with the connection is told as
// kStoreUnavailable and may stand. Thread-safe. What differs between the two is in DatabaseEngine and
// schema.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "keystore/store_figures.h"

namespace soci {
class session;
}

namespace skms::keystore {

/// Work on a connection. It may throw SOCI's exceptions; it must not start or end transactions.
using DatabaseWork = std::function<Status(soci::session&)>;

/// Runs `work` within the caller's write transaction; when it fails, what it wrote is undone and the rest of
/// the transaction stands.
Status WithinSavepoint(soci::session& session, const DatabaseWork& work);

/// Where a database is.
struct StoreLocation {
  std::string path;  ///< of the file of SQLite; beside it this server keeps what is its own, lock and copies
  std::string url;   ///< of PostgreSQL (database_url.h); empty: SQLite
  bool shared = false;  ///< PostgreSQL alone: other servers of the same kind write as well
};

/// What a change may alter of what is delivered.
enum class Touches {
  kAnything,
  kWhatTheCallerTells,  ///< keys of selectors, in a DeliveryCache::Change around the write
  kNothingDelivered,
};

/// Places of a DeliveryCache.
using Places = std::set<std::uint32_t>;

class Database {
 public:
  /// As below; with a URL, of a database that is there, and that no other process may write meanwhile, or
  /// only such as share it. Errors: also kStoreUnavailable.
  static Result<std::unique_ptr<Database>> Open(const StoreLocation& location);
  /// Opens an existing file and takes the lock that keeps a second process out. Errors: kStorage (missing,
  /// unreadable, not a database), kConflict (another process has it).
  static Result<std::unique_ptr<Database>> Open(const std::string& path);
  /// Makes an empty file of mode 0600 where there is none.
  static Status CreateFile(const std::string& path);

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  Status Read(const DatabaseWork& work);
  /// As Read, all of its statements on one and the same state of the database.
  Status ReadSnapshot(const DatabaseWork& work);
  /// The same where it may take hours.
  Status ReadSnapshotAtLength(const DatabaseWork& work);
  /// Returns when the change is committed (or refused). `places`: those of kWhatTheCallerTells. Errors: those
  /// of `work`; kStorage; kStoreUnavailable: also where another server had changed something by which this
  /// was decided (Decision).
  Status Write(DatabaseWork work, Touches touches = Touches::kAnything, Places places = {});
  /// As Write, for entries of the audit chain, which alter nothing that is delivered. `work` may run more
  /// than once; what the last time did is there.
  Status AppendEntries(DatabaseWork work);
  /// While `why` is not empty, Write and its like are refused with it (kStorage): what is decided could not
  /// be told as it must be. WriteAnyway and what is patient go on.
  void RefuseWrites(std::string why);
  /// As Write, for what nothing in memory decided: it is tried again where others overtake it.
  Status WriteUndecided(const DatabaseWork& work);
  /// As Write, for what may take hours with nobody else at the database.
  Status WriteAtLength(DatabaseWork work);
  /// As Write, for what is no decision.
  Status WriteAnyway(DatabaseWork work, Touches touches = Touches::kAnything);
  /// A write that nobody waits for and that can wait itself: it goes along with somebody else's commit, or
  /// after some hundredths of a second with one of its own, so that it costs a request no commit more. It
  /// must alter nothing that is delivered. Does not wait: what `work` looks at must live until the outcome is
  /// there, and may run more than once. Not ordered with Write.
  std::future<Status> BeginPatientWrite(DatabaseWork work);
  /// Moves everything from the write-ahead log into the file and cuts the log to nothing, so that overwritten
  /// rows stand in neither; nothing of the kind with PostgreSQL. Errors: kStorage (a reader held it for too
  /// long; nothing is lost).
  Status EmptyLog();
  /// Writes the whole database as it is now to `path`, a file of mode 0600 in the same directory, which takes
  /// the place of one that is there once it is whole and on disk. Errors: kStorage (also: no room), kIo,
  /// kUnsupported (PostgreSQL).
  Status CopyTo(const std::string& path);
  /// A path, or a URL without what is for the server's eyes alone.
  std::string Name() const;
  /// It is one file of this host, by SQLite.
  bool is_file() const;
  /// Octets on disk. Errors: kStorage, kStoreUnavailable.
  Result<std::int64_t> Size();
  bool HasTable(soci::session& session, const std::string& name) const;
  /// Grows with each change that touches anything: before it is committed to an odd number, and after it, or
  /// once its outcome is unknown, to an even one, before its caller hears of it.
  std::uint64_t changes() const;
  bool is_shared() const;
  /// Grows when what is in memory was learnt anew, because of a change elsewhere or a lost connection.
  std::uint64_t learnt() const;
  /// Learns what was changed elsewhere, though nothing is to be written. Errors: as Write.
  Status LookAround();
  /// Leads from now on, if no other server does; or no more. Errors: as Write.
  Status SeekLead(bool may_lead);
  /// Whether this server does what one alone must do. Not shared: always. Where the connection is lost it may
  /// be untrue until that is seen.
  bool leads() const;
  /// It is not known whether it leads still: until SeekLead it does not.
  void DoubtLead();
  /// How often it has taken the lead.
  std::uint64_t term() const;
  /// `changed` hears of keys that another server has changed, before anything is written; of all else
  /// `reconnected` does.
  void OnChangedElsewhere(std::function<void(const Places&)> changed);
  /// `reconnected` is called when the connection to write was lost and is there again, before anything is
  /// written: a commit whose answer was lost may stand, and another server may be at the other end. And when
  /// another server of a shared database has changed anything but keys. It must
  /// not write, and does not run any more once another one is set. What it fails with is what every write
  /// fails with until it succeeds. With SQLite: never.
  void OnReconnected(std::function<Status()> reconnected);
  /// Why it could not be connected to when that was last tried; empty: it could.
  std::string trouble() const;
  StoreFigures figures() const;

 private:
  class State;
  explicit Database(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace skms::keystore
