#include "keystore/database.h"

#include <fcntl.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/new_file.h"
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

/// A setting that durability or secrecy rests on, and that SQLite did not take.
class PragmaRefused : public std::runtime_error {
 public:
  explicit PragmaRefused(const char* name)
      : std::runtime_error(std::string("SQLite did not take the setting ") + name +
                           "; keep the database on a local file system") {}
};

/// SOCI's text may quote bound values, which may be user identities: only SQLite's own code travels.
Error StorageFailure(const std::exception& exception) {
  if (const auto* refused = dynamic_cast<const PragmaRefused*>(&exception))
    return StorageError(refused->what());
  std::string detail = "the database refused";
  if (const auto* sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&exception)) {
    const int code = sqlite->result();
    detail += std::string(" (") + sqlite_api::sqlite3_errstr(code) + ")";
    if (code == SQLITE_FULL || code == SQLITE_IOERR) detail += ": check the free space of its file system";
  } else {
    // sqlite3_soci_error is thrown for most; the rest (e.g. a failing trigger) says so in words without
    // values.
    const std::string text = exception.what();
    detail +=
        text.find("full") != std::string::npos ? " (disk full): check the free space of its file system" : "";
  }
  return StorageError(std::move(detail));
}

struct Connection {
  explicit Connection(std::unique_ptr<soci::session> open) : session(std::move(open)), statements(*session) {}
  const std::unique_ptr<soci::session> session;
  PreparedStatements statements;
};

Status Guarded(const DatabaseWork& work, Connection& connection) {
  const PreparedStatements::InUse in_use(connection.statements);
  Status status = Ok();
  try {
    status = work(*connection.session);
  } catch (const std::exception& exception) {
    status = StorageFailure(exception);
  }
  if (status.has_error()) connection.statements.Forget();
  return status;
}

std::unique_ptr<Connection> Connect(const std::string& path) {
  auto session = std::make_unique<soci::session>(soci::sqlite3, "db=\"" + path + "\"");
  struct Pragma {
    const char* name;
    const char* value;
    const char* reads_back;
  };
  // SQLite does not always do as it is told (a file system without shared memory has no WAL), and says so
  // only when asked.
  for (const Pragma& pragma : {Pragma{"busy_timeout", "5000", "5000"}, Pragma{"journal_mode", "WAL", "wal"},
                               Pragma{"synchronous", "FULL", "2"}, Pragma{"foreign_keys", "ON", "1"},
                               Pragma{"trusted_schema", "OFF", "0"}, Pragma{"secure_delete", "ON", "1"}}) {
    std::string answer;
    soci::indicator null = soci::i_ok;
    const std::string name = std::string("PRAGMA ") + pragma.name;
    *session << name + "=" + pragma.value, soci::into(answer, null);
    *session << name, soci::into(answer, null);
    if (answer != pragma.reads_back) throw PragmaRefused(pragma.name);
  }
  return std::make_unique<Connection>(std::move(session));
}

}  // namespace

class Database::State {
 public:
  State(std::string path, DatabaseLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
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

  Status Start() {
    try {
      for (std::size_t i = 0; i < kReaders; ++i) readers_.push_back(Connect(path_));
      writing_ = Connect(path_);
    } catch (const std::exception& exception) {
      Error error = StorageFailure(exception);
      error.detail = path_ + ": " + error.detail;
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
    Status status = Guarded(work, *reader);
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
    const DatabaseWork truncate = [](soci::session& session) -> Status {
      int busy = 1;
      int pages = 0;
      int moved = 0;
      // Every writer waits behind this: it does not wait long for a reader.
      session << "PRAGMA busy_timeout=250";
      session << "PRAGMA wal_checkpoint(TRUNCATE)", soci::into(busy), soci::into(pages), soci::into(moved);
      session << "PRAGMA busy_timeout=5000";
      if (busy != 0) return StorageError("the write-ahead log is in use and cannot be emptied; try again");
      return Ok();
    };
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
      if (batch.front().outside_transaction) {
        batch.front().done.set_value(Guarded(batch.front().work, *writing_));
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
    Status committed = Guarded(
        [&](soci::session& session) -> Status {
          session << "BEGIN IMMEDIATE";
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
    Status status = Guarded(change.work, *writing_);
    // A failed change leaves nothing; errors here end the whole transaction.
    if (status.has_error()) session << "ROLLBACK TO one_change";
    session << "RELEASE one_change";
    return status;
  }

  void Rollback() {
    const Status rolled_back = Guarded(
        [](soci::session& session) -> Status {
          session << "ROLLBACK";
          return Ok();
        },
        *writing_);
    if (rolled_back.has_value()) return;
    // SQLite has often rolled back by itself (disk full); a connection that cannot is replaced.
    try {
      writing_ = Connect(path_);
    } catch (const std::exception& exception) {
      LogError("database: the writer cannot be reopened: " + StorageFailure(exception).detail);
    }
  }

  const std::string path_;
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

Status WithinSavepoint(soci::session& session, const DatabaseWork& work) {
  session << "SAVEPOINT one_part";
  Status status = work(session);
  if (status.has_error()) session << "ROLLBACK TO one_part";
  session << "RELEASE one_part";
  return status;
}

Status Database::ReadSnapshot(const DatabaseWork& work) {
  return state_->Read([&](soci::session& session) -> Status {
    soci::transaction transaction(session);  // rolled back at the end: nothing was written
    return work(session);
  });
}

Status Database::CopyTo(const std::string& path) {
  const std::string unfinished = path + ".new";
  if (::unlink(unfinished.c_str()) != 0 && errno != ENOENT) return IoError(unfinished, errno);
  // SQLite takes an empty file as it is, and would make one that others can read.
  SKMS_TRYV(CreateFile(unfinished));
  const Status copied = state_->Read([&](soci::session& session) -> Status {
    session << "VACUUM INTO :path", soci::use(unfinished);
    return Ok();
  });
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

Result<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  if (::access(path.c_str(), R_OK | W_OK) != 0) {
    Error error = IoError(path, errno);
    return StorageError("no usable database: " + error.detail + "; make one with: skmsctl init");
  }
  SKMS_TRY(DatabaseLock lock, DatabaseLock::Take(path));
  auto state = std::make_unique<State>(path, std::move(lock));
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
StoreFigures Database::figures() const { return state_->figures(); }

}  // namespace skms::keystore
