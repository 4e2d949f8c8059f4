// Connections: makes a database's connections, and knows when those that are there are good for nothing.
//
// Thread-safe; a Connection is used by one thread at a time.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "keystore/connection_deadlines.h"
#include "keystore/database.h"
#include "keystore/database_engine.h"
#include "keystore/prepared_statements.h"

namespace skms::keystore {

struct Connection {
  Connection(std::unique_ptr<soci::session> open, std::uint64_t of_epoch);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  const std::unique_ptr<soci::session> session;
  PreparedStatements statements;
  const std::uint64_t epoch;  ///< of Connections, before it was made
  bool threw = false;         ///< a statement may stand anywhere
  bool broken = false;        ///< to be replaced, though nobody says that it is lost
};

class Connections {
 public:
  enum class Use { kRead, kWrite };

  explicit Connections(std::unique_ptr<DatabaseEngine> engine);

  const DatabaseEngine& engine() const { return *engine_; }

  /// `connection`, where it may be used; else another in its place, and true. Errors: kStoreUnavailable
  /// (also: another process writes by now), kStorage.
  Result<bool> Renew(std::unique_ptr<Connection>& connection, Use use);
  /// The same for the first ones. Errors: also kConflict: another process writes.
  Status Begin(std::unique_ptr<Connection>& connection, Use use);

  /// Ends it, within seconds whatever the server does. nullptr: nothing.
  void Close(std::unique_ptr<Connection>& connection);
  /// It may be used no more, for this reason; nor is another made for a moment.
  void Refuse(std::unique_ptr<Connection>& connection, Use use, const std::string& why);

  /// What `work` throws becomes an Error. It may take so long; after that the connection is cut.
  Status Guarded(const DatabaseWork& work, Connection& connection, std::chrono::seconds limit);
  /// After Guarded, in no transaction that an error has ended: what is left of statements that threw goes.
  void Settle(Connection& connection);

  /// Why the last attempt to connect failed; empty: it did not.
  std::string trouble() const;

 private:
  Error Failure(const std::exception& exception, Connection& connection);
  Status Rested() const;
  void Rest();
  void SetTrouble(Use use, const std::string& trouble);

  const std::unique_ptr<DatabaseEngine> engine_;
  ConnectionDeadlines deadlines_;
  mutable std::mutex mutex_;
  std::array<std::string, 2> trouble_;  ///< by Use
  std::atomic<std::uint64_t> epoch_{0};
  std::atomic<std::chrono::steady_clock::rep> rest_until_{0};
};

}  // namespace skms::keystore
