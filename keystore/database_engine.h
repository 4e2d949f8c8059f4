// DatabaseEngine: what differs between the databases that SOCI speaks to; the rest of the store is written
// once, over this.
//
// One object a database, used by the threads of its Database at once: no member changes it.
#pragma once

#include <exception>
#include <memory>
#include <string>

#include "base/result.h"

namespace soci {
class session;
}

namespace skms::keystore {

class DatabaseEngine {
 public:
  DatabaseEngine() = default;
  DatabaseEngine(const DatabaseEngine&) = delete;
  DatabaseEngine& operator=(const DatabaseEngine&) = delete;
  virtual ~DatabaseEngine() = default;

  /// For people: a path, or hosts and a name; never a password.
  virtual std::string Name() const = 0;
  /// The database is a file of this host, with a log beside it.
  virtual bool is_file() const = 0;
  /// Throws, as all that follows does.
  virtual std::unique_ptr<soci::session> Connect() const = 0;
  /// Every setting that durability and secrecy rest on.
  virtual void Prepare(soci::session& session) const = 0;
  /// Other servers write as well, each alone between BeginWrite and Commit.
  virtual bool is_shared() const = 0;
  /// It is the one connection of all processes that writes, and as long as it lives no other is; of a shared
  /// database one of several, and as long as it lives nobody has the database for himself.
  virtual void BecomeWriter(soci::session& session) const = 0;
  /// Whether this connection, which writes, leads from now on, until it ends: of all servers that share the
  /// database one does.
  virtual bool TryToLead(soci::session& session) const = 0;
  virtual void LeadNoMore(soci::session& session) const = 0;
  /// -1: there is none.
  virtual int SocketOf(soci::session& session) const = 0;
  /// What SOCI threw; without the values that a statement was given, which may be user identities.
  virtual Error Describe(const std::exception& thrown) const = 0;
  /// The connection on which this was thrown is of no use any more; another one may be.
  virtual bool MeansLost(const std::exception& thrown, soci::session& session) const = 0;

  /// What the server still knows of statements that are no more.
  virtual void ForgetStatements(soci::session& session) const = 0;
  virtual void BeginWrite(soci::session& session) const = 0;
  virtual void Commit(soci::session& session) const = 0;
  /// One change of several within a write: what comes until its end stands, or is undone, as a whole.
  virtual void BeginChange(soci::session& session) const = 0;
  virtual void UndoChange(soci::session& session) const = 0;
  virtual void EndChange(soci::session& session) const = 0;
  /// Until its end, all statements see one and the same state. `at_length`: it may take hours.
  virtual void BeginSnapshot(soci::session& session, bool at_length) const = 0;
  virtual void EndSnapshot(soci::session& session) const = 0;
  /// Moves what of a file's log no reader is in the way of into the file, beside who writes; pages in the
  /// log.
  virtual int MoveLog(soci::session& session) const = 0;
  /// What was overwritten goes out of the log of changes. Errors: kStorage.
  virtual Status EmptyLog(soci::session& session) const = 0;
  /// Where this engine makes copies of its own (see Database::CopyTo). Errors: kUnsupported, kStorage.
  virtual Status CopyTo(soci::session& session, const std::string& path) const = 0;
  virtual bool HasTable(soci::session& session, const std::string& name) const = 0;
  /// Octets on disk, of all tables.
  virtual long long Size(soci::session& session) const = 0;
};

/// `path`: a file that is there.
std::unique_ptr<DatabaseEngine> MakeSqliteEngine(const std::string& path);
/// Errors: those of CheckPostgresqlUrl and CheckPostgresqlEnvironment: nothing is connected to then.
/// `shared`: with other servers.
Result<std::unique_ptr<DatabaseEngine>> MakePostgresqlEngine(const std::string& url, bool shared = false);

}  // namespace skms::keystore
