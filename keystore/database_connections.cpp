#include "keystore/database_connections.h"

#include <soci/soci.h>
#include <sys/socket.h>

#include <utility>

#include "base/log.h"

namespace skms::keystore {
namespace {

constexpr std::chrono::milliseconds kRest{200};
constexpr std::chrono::seconds kShort{10};  // of what takes no time where the server is well

}  // namespace

Connection::Connection(std::unique_ptr<soci::session> open, std::uint64_t of_epoch)
    : session(std::move(open)), statements(*session), epoch(of_epoch) {}
Connection::~Connection() = default;

Connections::Connections(std::unique_ptr<DatabaseEngine> engine) : engine_(std::move(engine)) {}

Result<bool> Connections::Renew(std::unique_ptr<Connection>& connection, Use use) {
  if (connection && connection->epoch == epoch_ && !connection->broken) return false;
  SKMS_TRYV(Rested());
  Status made = Begin(connection, use);
  if (made.has_value()) return true;
  Error error = std::move(made).error();
  // Whoever took over while nobody held the lock may end as well: this process is his standby.
  if (error.code == ErrorCode::kConflict) error.code = ErrorCode::kStoreUnavailable;
  if (error.code == ErrorCode::kStoreUnavailable) Rest();
  return error;
}

Status Connections::Begin(std::unique_ptr<Connection>& connection, Use use) {
  Close(connection);
  // Before it is made: what is lost meanwhile may be this one.
  const std::uint64_t epoch = epoch_;
  try {
    auto made = std::make_unique<Connection>(engine_->Connect(), epoch);
    const ConnectionDeadlines::Watch watch(deadlines_, engine_->SocketOf(*made->session), kShort);
    engine_->Prepare(*made->session);
    if (use == Use::kWrite) engine_->BecomeWriter(*made->session);
    connection = std::move(made);
    SetTrouble(use, "");
    return Ok();
  } catch (const std::exception& exception) {
    Error error = engine_->Describe(exception);
    SetTrouble(use, error.detail);
    return error;
  }
}

void Connections::Close(std::unique_ptr<Connection>& connection) {
  if (!connection) return;
  const int socket = engine_->SocketOf(*connection->session);
  const ConnectionDeadlines::Watch watch(deadlines_, socket, kShort);
  // What it would still tell a server that does not listen, it need not wait for.
  if (socket >= 0 && (connection->epoch != epoch_ || connection->broken)) ::shutdown(socket, SHUT_RDWR);
  connection.reset();
}

void Connections::Refuse(std::unique_ptr<Connection>& connection, Use use, const std::string& why) {
  if (connection) connection->broken = true;
  Close(connection);
  Rest();
  SetTrouble(use, why);
}

Status Connections::Guarded(const DatabaseWork& work, Connection& connection, std::chrono::seconds limit) {
  const PreparedStatements::InUse in_use(connection.statements);
  const ConnectionDeadlines::Watch watch(deadlines_, engine_->SocketOf(*connection.session), limit);
  try {
    return work(*connection.session);
  } catch (const std::exception& exception) {
    return Failure(exception, connection);
  }
}

void Connections::Settle(Connection& connection) {
  if (!connection.threw) return;
  connection.threw = false;
  const ConnectionDeadlines::Watch watch(deadlines_, engine_->SocketOf(*connection.session), kShort);
  connection.statements.Forget();
  try {
    engine_->ForgetStatements(*connection.session);
  } catch (const std::exception& exception) {
    Failure(exception, connection);
    connection.broken = true;
  }
}

std::string Connections::trouble() const {
  const std::lock_guard lock(mutex_);
  const auto& [reading, writing] = trouble_;
  return writing.empty() ? reading : writing;
}

/// A connection that is lost, or that leads to a server that writes no more, was hardly the only one.
Error Connections::Failure(const std::exception& exception, Connection& connection) {
  connection.threw = true;
  Error error = engine_->Describe(exception);
  if (!engine_->MeansLost(exception, *connection.session)) return error;
  if (error.code != ErrorCode::kStoreUnavailable)
    error = {ErrorCode::kStoreUnavailable, "the connection to the database is lost"};
  std::uint64_t of_connection = connection.epoch;
  if (epoch_.compare_exchange_strong(of_connection, of_connection + 1))
    LogWarning("database: " + error.detail + "; it is connected to again");
  return error;
}

/// After an attempt that led nowhere no other is made for a moment: requests that wait for one after the
/// other would wait for ever.
Status Connections::Rested() const {
  if (std::chrono::steady_clock::now().time_since_epoch().count() >= rest_until_) return Ok();
  return Error{ErrorCode::kStoreUnavailable, "the database cannot be reached"};
}
void Connections::Rest() {
  rest_until_ = (std::chrono::steady_clock::now() + kRest).time_since_epoch().count();
}

void Connections::SetTrouble(Use use, const std::string& trouble) {
  const std::lock_guard lock(mutex_);
  std::string& known = trouble_.at(static_cast<std::size_t>(use));
  if (known == trouble) return;
  if (!trouble.empty()) LogError("database: " + trouble);
  if (!known.empty() && trouble.empty()) LogInfo("database: connected");
  known = trouble;
}

}  // namespace skms::keystore
