#include "keystore/database.h"

#include <fcntl.h>
#include <soci/soci.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/new_file.h"
#include "keystore/database_engine.h"
#include "keystore/database_lock.h"
#include "keystore/prepared_statements.h"
#include "keystore/store_meter.h"

namespace skms::keystore {
namespace {

constexpr std::size_t kReaders = 4;
constexpr std::size_t kMostInOneCommit = 128;
// So that a request waits for few of them.
constexpr std::size_t kMostPatientInOneCommit = 8;
constexpr std::chrono::milliseconds kPatience{20};

struct Connection {
  explicit Connection(std::unique_ptr<soci::session> open, std::uint64_t of_epoch)
      : session(std::move(open)), statements(*session), epoch(of_epoch) {}
  const std::unique_ptr<soci::session> session;
  PreparedStatements statements;
  const std::uint64_t epoch;  ///< of Connections, when it was made
};

/// Makes connections, and knows when those that are there are good for nothing.
class Connections {
 public:
  explicit Connections(std::unique_ptr<DatabaseEngine> engine) : engine_(std::move(engine)) {}

  const DatabaseEngine& engine() const { return *engine_; }

  /// `connection`, where it may be used; else another in its place. Errors: kStoreUnavailable, kStorage,
  /// kConflict (to write: another process does).
  Status Renew(std::unique_ptr<Connection>& connection, bool to_write) {
    if (connection && connection->epoch == epoch_) return Ok();
    connection.reset();
    SKMS_TRYV(Rested());
    try {
      connection =
          std::make_unique<Connection>(to_write ? engine_->ConnectToWrite() : engine_->Connect(), epoch_);
      SetTrouble("");
      return Ok();
    } catch (const std::exception& exception) {
      Error error = engine_->Describe(exception);
      if (error.code == ErrorCode::kStoreUnavailable) Rest();
      SetTrouble(error.detail);
      return error;
    }
  }

  Status Guarded(const DatabaseWork& work, Connection& connection) {
    const PreparedStatements::InUse in_use(connection.statements);
    Status status = Ok();
    try {
      status = work(*connection.session);
    } catch (const std::exception& exception) {
      status = Failure(exception, connection);
    }
    return status;
  }

  /// Why the last attempt to connect failed; empty: it did not.
  std::string trouble() const {
    const std::lock_guard lock(mutex_);
    return trouble_;
  }

  /// After an error, which may leave a statement anywhere; in no transaction that the error has ended.
  void Forget(Connection& connection) {
    connection.statements.Forget();
    try {
      engine_->ForgetStatements(*connection.session);
    } catch (const std::exception& exception) {
      Failure(exception, connection);
    }
  }

 private:
  /// One that is lost, or that leads to a server that writes no more, was hardly the only one.
  Error Failure(const std::exception& exception, Connection& connection) {
    Error error = engine_->Describe(exception);
    if (engine_->IsLost(*connection.session))
      error = {ErrorCode::kStoreUnavailable, "the connection to the database is lost"};
    if (error.code == ErrorCode::kStoreUnavailable) {
      std::uint64_t of_connection = connection.epoch;
      if (epoch_.compare_exchange_strong(of_connection, of_connection + 1))
        LogWarning("database: " + error.detail + "; it is connected to again");
    }
    return error;
  }

  /// After an attempt that led nowhere no other is made for a moment: requests that wait for one after the
  /// other would wait for ever.
  Status Rested() const {
    if (std::chrono::steady_clock::now().time_since_epoch().count() >= rest_until_) return Ok();
    return Error{ErrorCode::kStoreUnavailable, "the database cannot be reached"};
  }
  void Rest() { rest_until_ = (std::chrono::steady_clock::now() + kRest).time_since_epoch().count(); }

  void SetTrouble(std::string trouble) {
    const std::lock_guard lock(mutex_);
    trouble_ = std::move(trouble);
  }

  static constexpr std::chrono::milliseconds kRest{200};
  const std::unique_ptr<DatabaseEngine> engine_;
  mutable std::mutex mutex_;
  std::string trouble_;
  std::atomic<std::uint64_t> epoch_{0};
  std::atomic<std::chrono::steady_clock::rep> rest_until_{0};
};

}  // namespace

class Database::State {
 public:
  State(std::unique_ptr<DatabaseEngine> engine, DatabaseLock lock)
      : connections_(std::move(engine)), lock_(std::move(lock)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    queued_.notify_all();
    if (writer_.joinable()) writer_.join();
    writing_.reset();
    readers_.clear();
  }

  const DatabaseEngine& engine() const { return connections_.engine(); }
  std::string trouble() const { return connections_.trouble(); }

  Status Start() {
    readers_.resize(kReaders);
    Status started = connections_.Renew(writing_, true);
    for (std::unique_ptr<Connection>& reader : readers_) {
      if (started.has_value()) started = connections_.Renew(reader, false);
    }
    if (started.has_error()) {
      Error error = std::move(started).error();
      // A conflict says by itself where it is.
      if (error.code != ErrorCode::kConflict) error.detail = engine().Name() + ": " + error.detail;
      return error;
    }
    writer_ = std::thread([this] { WriteLoop(); });
    return Ok();
  }

  Status Read(const DatabaseWork& work) {
    std::unique_ptr<Connection> reader;
    const auto asked = std::chrono::steady_clock::now();
    {
      std::unique_lock lock(mutex_);
      reader_free_.wait(lock, [this] { return !readers_.empty(); });
      reader = std::move(readers_.back());
      readers_.pop_back();
    }
    const auto begun = std::chrono::steady_clock::now();
    Status status = connections_.Renew(reader, false);
    if (status.has_value()) status = connections_.Guarded(work, *reader);
    if (status.has_error() && reader) connections_.Forget(*reader);
    meter_.reader_wait.Observe(begun - asked);
    meter_.reads.Observe(std::chrono::steady_clock::now() - begun);
    {
      const std::lock_guard lock(mutex_);
      readers_.push_back(std::move(reader));
    }
    reader_free_.notify_one();
    return status;
  }

  Status Write(DatabaseWork work) {
    if (refusing_) {
      const std::lock_guard lock(mutex_);
      if (!refusal_.empty()) return Error{ErrorCode::kStorage, refusal_};
    }
    return WriteAnyway(std::move(work));
  }
  Status WriteAnyway(DatabaseWork work) {
    const auto begun = std::chrono::steady_clock::now();
    Status done = Queue({std::move(work), false, {}}).get();
    meter_.writes.Observe(std::chrono::steady_clock::now() - begun);
    return done;
  }

  StoreFigures figures() const {
    StoreFigures now = meter_.Read();
    now.readers = kReaders;
    const std::lock_guard lock(mutex_);
    now.readers_busy = kReaders - readers_.size();
    now.writes_queued = queue_.size() + patient_.size();
    return now;
  }

  void RefuseWrites(std::string why) {
    const std::lock_guard lock(mutex_);
    refusal_ = std::move(why);
    refusing_ = !refusal_.empty();
  }

  std::future<Status> BeginPatientWrite(DatabaseWork work) {
    Change change{std::move(work), false, {}};
    std::future<Status> done = change.done.get_future();
    {
      const std::lock_guard lock(mutex_);
      if (patient_.empty()) patient_until_ = std::chrono::steady_clock::now() + kPatience;
      patient_.push_back(std::move(change));
    }
    queued_.notify_one();
    return done;
  }

  Status EmptyLog() {
    const DatabaseWork truncate = [this](soci::session& session) { return engine().EmptyLog(session); };
    return Queue({truncate, true, {}}).get();
  }

 private:
  struct Change {
    DatabaseWork work;
    bool outside_transaction = false;
    std::promise<Status> done;
  };

  std::future<Status> Queue(Change change) {
    std::future<Status> done = change.done.get_future();
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(change));
    }
    queued_.notify_one();
    return done;
  }

  void WriteLoop() {
    for (;;) {
      std::vector<Change> batch = NextBatch();
      if (batch.empty()) return;
      if (const Status connected = connections_.Renew(writing_, true); connected.has_error()) {
        meter_.failed_commits.fetch_add(1, std::memory_order_relaxed);
        for (Change& change : batch) change.done.set_value(connected);
      } else if (batch.front().outside_transaction) {
        Status done = connections_.Guarded(batch.front().work, *writing_);
        if (done.has_error()) connections_.Forget(*writing_);
        batch.front().done.set_value(std::move(done));
      } else {
        Commit(batch);
      }
    }
  }

  /// Empty: the end.
  std::vector<Change> NextBatch() {
    std::unique_lock lock(mutex_);
    while (!stopping_ && queue_.empty()) {
      if (patient_.empty()) {
        queued_.wait(lock);
      } else if (queued_.wait_until(lock, patient_until_) == std::cv_status::timeout) {
        break;
      }
    }
    std::vector<Change> batch;
    const auto take = [&batch](std::deque<Change>& from) {
      batch.push_back(std::move(from.front()));
      from.pop_front();
    };
    if (!queue_.empty() && queue_.front().outside_transaction) {
      take(queue_);
      return batch;
    }
    while (!queue_.empty() && !queue_.front().outside_transaction && batch.size() < kMostInOneCommit)
      take(queue_);
    for (std::size_t i = 0; i < kMostPatientInOneCommit && !patient_.empty(); ++i) take(patient_);
    // What is left waits anew for somebody to go along with.
    if (!patient_.empty()) patient_until_ = std::chrono::steady_clock::now() + kPatience;
    return batch;
  }

  void Commit(std::vector<Change>& batch) {
    std::vector<Status> outcomes;
    const auto begun = std::chrono::steady_clock::now();
    Status committed = connections_.Guarded(
        [&](soci::session& session) -> Status {
          engine().BeginWrite(session);
          for (const Change& change : batch) outcomes.push_back(Apply(change));
          session << "COMMIT";
          return Ok();
        },
        *writing_);
    meter_.commits.Observe(std::chrono::steady_clock::now() - begun);
    if (committed.has_error()) {
      meter_.failed_commits.fetch_add(1, std::memory_order_relaxed);
      Rollback();
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      batch[i].done.set_value(committed.has_error() ? committed : outcomes[i]);
    }
  }

  Status Apply(const Change& change) {
    soci::session& session = *writing_->session;
    session << "SAVEPOINT one_change";
    Status status = connections_.Guarded(change.work, *writing_);
    // A failed change leaves nothing; errors here end the whole transaction.
    if (status.has_error()) {
      session << "ROLLBACK TO one_change";
      connections_.Forget(*writing_);
    }
    session << "RELEASE one_change";
    return status;
  }

  void Rollback() {
    const Status rolled_back = connections_.Guarded(
        [](soci::session& session) -> Status {
          session << "ROLLBACK";
          return Ok();
        },
        *writing_);
    // SQLite has often rolled back by itself (disk full); a connection that cannot is replaced.
    if (rolled_back.has_error()) {
      writing_.reset();
    } else {
      connections_.Forget(*writing_);
    }
  }

  Connections connections_;
  const DatabaseLock lock_;
  std::atomic<bool> refusing_{false};  // refusal_ is not empty
  std::string refusal_;
  mutable std::mutex mutex_;
  std::condition_variable queued_;
  std::condition_variable reader_free_;
  std::deque<Change> queue_;
  std::deque<Change> patient_;
  std::chrono::steady_clock::time_point patient_until_{};  ///< for the oldest of them, if there are any
  bool stopping_ = false;
  std::vector<std::unique_ptr<Connection>> readers_;
  std::unique_ptr<Connection> writing_;
  StoreMeter meter_;
  std::thread writer_;
};

namespace {

/// Nothing was written: whatever becomes of this, no more than the connection is lost by it.
void EndSnapshot(soci::session& session) {
  try {
    session << "ROLLBACK";
  } catch (const std::exception& exception) {
    LogWarning("database: a snapshot did not end; what follows on its connection will tell");
  }
}

}  // namespace

Status WithinSavepoint(soci::session& session, const DatabaseWork& work) {
  session << "SAVEPOINT one_part";
  Status status = work(session);
  if (status.has_error()) session << "ROLLBACK TO one_part";
  session << "RELEASE one_part";
  return status;
}

Status Database::ReadSnapshot(const DatabaseWork& work) {
  return state_->Read([&](soci::session& session) -> Status {
    state_->engine().BeginSnapshot(session);
    Status status = Ok();
    try {
      status = work(session);
    } catch (...) {
      EndSnapshot(session);
      throw;
    }
    EndSnapshot(session);
    return status;
  });
}

bool Database::HasTable(soci::session& session, const std::string& name) const {
  return state_->engine().HasTable(session, name);
}
Result<std::int64_t> Database::Size() {
  std::int64_t size = 0;
  SKMS_TRYV(state_->Read([&](soci::session& session) -> Status {
    size = state_->engine().Size(session);
    return Ok();
  }));
  return size;
}
std::string Database::Name() const { return state_->engine().Name(); }
bool Database::is_file() const { return state_->engine().is_file(); }

Status Database::CopyTo(const std::string& path) {
  const std::string unfinished = path + ".new";
  if (::unlink(unfinished.c_str()) != 0 && errno != ENOENT) return IoError(unfinished, errno);
  // SQLite takes an empty file as it is, and would make one that others can read.
  SKMS_TRYV(CreateFile(unfinished));
  const Status copied = state_->Read(
      [&](soci::session& session) -> Status { return state_->engine().CopyTo(session, unfinished); });
  const auto fail = [&unfinished](Error error) -> Status {
    ::unlink(unfinished.c_str());
    return error;
  };
  if (copied.has_error()) return fail(copied.error());
  const Status synced = SyncToDisk(unfinished);
  if (synced.has_error()) return fail(synced.error());
  if (::rename(unfinished.c_str(), path.c_str()) != 0) return fail(IoError(path, errno));
  return SyncToDisk(DirectoryOf(path));
}

Status Database::CreateFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == EEXIST) return Ok();
  if (fd < 0) return IoError(path, errno);
  ::close(fd);
  return Ok();
}

Result<std::unique_ptr<Database>> Database::Open(const StoreLocation& location) {
  if (location.url.empty()) return Open(location.path);
  SKMS_TRY(DatabaseLock lock, DatabaseLock::Take(location.path));
  auto state = std::make_unique<State>(MakePostgresqlEngine(location.url), std::move(lock));
  SKMS_TRYV(state->Start());
  return std::unique_ptr<Database>(new Database(std::move(state)));
}

Result<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  if (::access(path.c_str(), R_OK | W_OK) != 0) {
    Error error = IoError(path, errno);
    return StorageError("no usable database: " + error.detail + "; make one with: skmsctl init");
  }
  SKMS_TRY(DatabaseLock lock, DatabaseLock::Take(path));
  auto state = std::make_unique<State>(MakeSqliteEngine(path), std::move(lock));
  SKMS_TRYV(state->Start());
  return std::unique_ptr<Database>(new Database(std::move(state)));
}

Database::Database(std::unique_ptr<State> state) : state_(std::move(state)) {}
Database::~Database() = default;
Status Database::Read(const DatabaseWork& work) { return state_->Read(work); }
Status Database::Write(DatabaseWork work) { return state_->Write(std::move(work)); }
Status Database::WriteAnyway(DatabaseWork work) { return state_->WriteAnyway(std::move(work)); }
void Database::RefuseWrites(std::string why) { state_->RefuseWrites(std::move(why)); }
std::future<Status> Database::BeginPatientWrite(DatabaseWork work) {
  return state_->BeginPatientWrite(std::move(work));
}
Status Database::EmptyLog() { return state_->EmptyLog(); }
std::string Database::trouble() const { return state_->trouble(); }
StoreFigures Database::figures() const { return state_->figures(); }

}  // namespace skms::keystore
