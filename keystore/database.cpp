#include "keystore/database.h"

#include <fcntl.h>
#include <soci/soci.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/new_file.h"
#include "keystore/change_batch.h"
#include "keystore/database_connections.h"
#include "keystore/database_engine.h"
#include "keystore/database_lock.h"
#include "keystore/decision.h"
#include "keystore/log_keeper.h"
#include "keystore/other_servers.h"
#include "keystore/prepared_statements.h"
#include "keystore/store_meter.h"
#include "keystore/write_queue.h"

namespace skms::keystore {
namespace {

constexpr std::size_t kReaders = 4;
constexpr int kTries = 8;  // of what others overtake

// What a server that does not answer may cost those who wait.
constexpr std::chrono::seconds kLongestWrite{30};
constexpr std::chrono::seconds kLongestCommit{60};  // of many changes
constexpr std::chrono::seconds kLongestRead{30};
constexpr std::chrono::seconds kAtLength{24 * 3600};  // a whole database is copied in one

}  // namespace

class Database::State {
 public:
  State(std::unique_ptr<DatabaseEngine> engine, DatabaseLock lock)
      : connections_(std::move(engine)), others_(connections_.engine()), lock_(std::move(lock)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    log_keeper_.Stop();
    queue_.BeginEnd();
    if (writer_.joinable()) writer_.join();
    connections_.Close(writing_);
    for (std::unique_ptr<Connection>& reader : readers_) connections_.Close(reader);
  }

  const DatabaseEngine& engine() const { return connections_.engine(); }
  std::string trouble() const { return connections_.trouble(); }

  Status Start() {
    readers_.resize(kReaders);
    Status started = connections_.Begin(writing_, Connections::Use::kWrite);
    if (started.has_value()) started = FindNewestChange();
    for (std::unique_ptr<Connection>& reader : readers_) {
      if (started.has_value()) started = connections_.Begin(reader, Connections::Use::kRead);
    }
    if (started.has_error()) {
      Error error = std::move(started).error();
      // A conflict says by itself where it is.
      if (error.code != ErrorCode::kConflict) error.detail = engine().Name() + ": " + error.detail;
      return error;
    }
    SKMS_TRYV(log_keeper_.Start());
    writer_ = std::thread([this] { WriteLoop(); });
    return Ok();
  }

  Status Read(const DatabaseWork& work) { return ReadFor(kLongestRead, work); }
  Status ReadFor(std::chrono::seconds limit, const DatabaseWork& work) {
    std::unique_ptr<Connection> reader;
    const auto asked = std::chrono::steady_clock::now();
    {
      std::unique_lock lock(mutex_);
      const auto is_free = [this] { return !readers_.empty(); };
      if (engine().is_file()) {
        reader_free_.wait(lock, is_free);
      } else if (!reader_free_.wait_for(lock, kLongestRead, is_free)) {
        return Error{ErrorCode::kStoreUnavailable, "every connection waits for the database's server"};
      }
      reader = std::move(readers_.back());
      readers_.pop_back();
    }
    const auto begun = std::chrono::steady_clock::now();
    const auto renewed = connections_.Renew(reader, Connections::Use::kRead);
    Status status =
        renewed.has_error() ? Status(renewed.error()) : connections_.Guarded(work, *reader, limit);
    if (reader) connections_.Settle(*reader);
    meter_.reader_wait.Observe(begun - asked);
    meter_.reads.Observe(std::chrono::steady_clock::now() - begun);
    {
      const std::lock_guard lock(mutex_);
      readers_.push_back(std::move(reader));
    }
    reader_free_.notify_one();
    return status;
  }

  Status Write(DatabaseWork work, Touches touches, Places places) {
    SKMS_TRYV(Refusal());
    return WriteAnyway(std::move(work), touches, kLongestWrite, std::move(places));
  }
  Status AppendEntries(DatabaseWork work) {
    SKMS_TRYV(Refusal());
    QueuedWrite write;
    write.work = std::move(work);
    write.touches = Touches::kNothingDelivered;
    write.repeatable = true;
    return Decided(std::move(write));
  }
  Status WriteUndecided(const DatabaseWork& work) {
    for (int i = 1;; ++i) {
      bool overtaken = false;
      QueuedWrite write;
      write.work = work;
      write.decided = others_.learnt();
      write.overtaken = &overtaken;
      Status done = queue_.Add(std::move(write)).get();
      if (!overtaken || i == kTries) return done;
    }
  }
  Status WriteAnyway(DatabaseWork work, Touches touches, std::chrono::seconds limit = kLongestWrite,
                     Places places = {}) {
    QueuedWrite write;
    write.work = std::move(work);
    write.limit = limit;
    write.touches = touches;
    write.places = std::move(places);
    return Decided(std::move(write));
  }

  StoreFigures figures() const {
    StoreFigures now = meter_.Read();
    now.readers = kReaders;
    now.writes_queued = queue_.size();
    const std::lock_guard lock(mutex_);
    now.readers_busy = kReaders - readers_.size();
    return now;
  }

  std::uint64_t changes() const { return changes_; }

  void RefuseWrites(std::string why) {
    const std::lock_guard lock(mutex_);
    refusal_ = std::move(why);
    refusing_ = !refusal_.empty();
  }

  std::future<Status> BeginPatientWrite(DatabaseWork work) {
    QueuedWrite write;
    write.work = std::move(work);
    write.touches = Touches::kNothingDelivered;
    write.repeatable = true;
    write.decided = others_.learnt();
    return queue_.AddPatient(std::move(write));
  }

  Status EmptyLog() {
    return log_keeper_.Empty([this](soci::session& session) { return engine().EmptyLog(session); });
  }

  Status LookAround() {
    if (!engine().is_shared()) return Ok();
    const std::uint64_t before = others_.learnt();
    Status looked =
        WriteAnyway([](soci::session& /*session*/) -> Status { return Ok(); }, Touches::kNothingDelivered);
    // Refused because something was learnt is all that is wanted.
    return looked.has_error() && others_.learnt() != before ? Ok() : std::move(looked);
  }
  Status SeekLead(bool may_lead) {
    if (!engine().is_shared() || (may_lead && others_.leads())) return Ok();
    return OutsideTransaction([this, may_lead](soci::session& session) -> Status {
      others_.SeekLead(session, may_lead);
      return Ok();
    });
  }
  OtherServers& others() { return others_; }

 private:
  Status Refusal() const {
    if (!refusing_) return Ok();
    const std::lock_guard lock(mutex_);
    return refusal_.empty() ? Ok() : Status(Error{ErrorCode::kStorage, refusal_});
  }

  /// By this thread's Decision, where there is one.
  Status Decided(QueuedWrite write) {
    const auto begun = std::chrono::steady_clock::now();
    Decision* const decision = Decision::Current();
    bool overtaken = false;
    const bool changes = write.touches != Touches::kNothingDelivered;
    write.decided = decision == nullptr ? others_.learnt() : decision->learnt();
    write.overtaken = &overtaken;
    Status done = queue_.Add(std::move(write)).get();
    if (decision != nullptr && overtaken) decision->BeOvertaken();
    if (decision != nullptr && done.has_value()) decision->HaveWritten(changes);
    meter_.writes.Observe(std::chrono::steady_clock::now() - begun);
    return done;
  }

  void WriteLoop() {
    for (;;) {
      std::vector<QueuedWrite> batch = queue_.NextBatch();
      if (batch.empty()) return;
      if (const Status connected = ConnectToWrite(); connected.has_error()) {
        meter_.failed_commits.fetch_add(1, std::memory_order_relaxed);
        for (QueuedWrite& change : batch) change.done.set_value(connected);
      } else if (batch.front().outside_transaction) {
        Status done = connections_.Guarded(batch.front().work, *writing_, kLongestWrite);
        connections_.Settle(*writing_);
        batch.front().done.set_value(std::move(done));
      } else {
        Commit(batch);
      }
    }
  }

  Status OutsideTransaction(DatabaseWork work) {
    QueuedWrite write;
    write.work = std::move(work);
    write.outside_transaction = true;
    write.touches = Touches::kNothingDelivered;
    return queue_.Add(std::move(write)).get();
  }

  /// What is queued was decided by what was known before a connection was lost, and with it perhaps the
  /// answer of a commit: it is refused, and what comes after it is decided by what is in the database.
  Status ConnectToWrite() {
    SKMS_TRY(const bool made, connections_.Renew(writing_, Connections::Use::kWrite));
    if (!made || engine().is_file()) return Ok();
    others_.DoubtLead();
    SKMS_TRYV(FindNewestChange());
    SKMS_TRYV(LearnAnew());
    return Error{ErrorCode::kStoreUnavailable, "the connection to the database was lost; try again"};
  }

  Status FindNewestChange() {
    if (!engine().is_shared()) return Ok();
    return connections_.Guarded(
        [this](soci::session& session) -> Status {
          others_.FindNewestChange(session);
          return Ok();
        },
        *writing_, kLongestRead);
  }

  Status LearnAnew() {
    changes_ += 2;
    Status learnt = others_.LearnAnew();
    if (learnt.has_error()) {
      connections_.Refuse(writing_, Connections::Use::kWrite,
                          "what it holds cannot be learnt anew: " + learnt.error().Describe());
    }
    return learnt;
  }

  std::int64_t TellOthers(soci::session& session, const std::vector<QueuedWrite>& batch,
                          const std::vector<Status>& outcomes) const {
    if (!engine().is_shared()) return 0;
    bool anything = false;
    Places places;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (outcomes[i].has_error()) continue;
      anything = anything || batch[i].touches == Touches::kAnything;
      places.insert(batch[i].places.begin(), batch[i].places.end());
    }
    return others_.Tell(session, anything, places);
  }

  /// Everything is learnt, and all that waits is decided again by whoever waits for it.
  Status BeOvertaken(std::vector<QueuedWrite>& batch) {
    // Where the connection was lost as well, the next one learns.
    if (!writing_) return OvertakenByOthers();
    SKMS_TRYV(FindNewestChange());
    SKMS_TRYV(LearnAnew());
    for (QueuedWrite& one : batch) {
      if (one.overtaken != nullptr) *one.overtaken = true;
    }
    return OvertakenByOthers();
  }

  void Commit(std::vector<QueuedWrite>& batch) {
    std::vector<Status> outcomes;
    std::chrono::seconds limit = kLongestCommit;
    for (const QueuedWrite& change : batch) limit = std::max(limit, change.limit);
    const bool touches = std::any_of(
        batch.begin(), batch.end(), [](const QueuedWrite& one) { return one.touches == Touches::kAnything; });
    if (touches) ++changes_;
    const auto begun = std::chrono::steady_clock::now();
    bool overtaken = false;
    std::int64_t own_number = 0;
    Status committed = connections_.Guarded(
        [&](soci::session& session) -> Status {
          engine().BeginWrite(session);
          PreparedStatements::ForgetTransaction(session);
          SKMS_TRY(overtaken, others_.Hear(session));
          if (overtaken) return OvertakenByOthers();
          outcomes = ChangeBatch(connections_, *writing_, others_).Apply(batch);
          own_number = TellOthers(session, batch, outcomes);
          engine().Commit(session);
          return Ok();
        },
        *writing_, limit);
    meter_.commits.Observe(std::chrono::steady_clock::now() - begun);
    if (committed.has_error()) {
      if (!overtaken) meter_.failed_commits.fetch_add(1, std::memory_order_relaxed);
      Rollback();
      if (overtaken) committed = BeOvertaken(batch);
    } else {
      others_.HaveTold(own_number);
      log_keeper_.HaveCommitted();
    }
    if (touches) ++changes_;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      batch[i].done.set_value(committed.has_error() ? committed : outcomes[i]);
    }
  }

  void Rollback() {
    const Status rolled_back = connections_.Guarded(
        [](soci::session& session) -> Status {
          session << "ROLLBACK";
          return Ok();
        },
        *writing_, kLongestWrite);
    // SQLite has often rolled back by itself (disk full); a connection that cannot is replaced.
    if (rolled_back.has_error()) {
      connections_.Close(writing_);
    } else {
      connections_.Settle(*writing_);
    }
  }

  Connections connections_;
  OtherServers others_;
  WriteQueue queue_;
  const DatabaseLock lock_;
  std::atomic<bool> refusing_{false};  // refusal_ is not empty
  std::string refusal_;
  mutable std::mutex mutex_;
  std::condition_variable reader_free_;
  std::vector<std::unique_ptr<Connection>> readers_;
  std::unique_ptr<Connection> writing_;
  std::atomic<std::uint64_t> changes_{0};
  StoreMeter meter_;
  LogKeeper log_keeper_{connections_,
                        [this](DatabaseWork work) { return OutsideTransaction(std::move(work)); }};
  std::thread writer_;
};

Status WithinSavepoint(soci::session& session, const DatabaseWork& work) {
  session << "SAVEPOINT one_part";
  Status status = work(session);
  if (status.has_error()) {
    session << "ROLLBACK TO one_part";
    PreparedStatements::ForgetTransaction(session);
  }
  session << "RELEASE one_part";
  return status;
}

namespace {

DatabaseWork OfOneState(const DatabaseEngine& engine, const DatabaseWork& work, bool at_length) {
  return [&engine, &work, at_length](soci::session& session) -> Status {
    Status status = Ok();
    try {
      engine.BeginSnapshot(session, at_length);
      status = work(session);
    } catch (...) {
      try {
        engine.EndSnapshot(session);
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the first one says what is wrong
      }
      throw;
    }
    engine.EndSnapshot(session);
    return status;
  };
}

}  // namespace

Status Database::ReadSnapshot(const DatabaseWork& work) {
  return state_->Read(OfOneState(state_->engine(), work, false));
}
Status Database::ReadSnapshotAtLength(const DatabaseWork& work) {
  return state_->ReadFor(kAtLength, OfOneState(state_->engine(), work, true));
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
  SKMS_TRY(std::unique_ptr<DatabaseEngine> engine, MakePostgresqlEngine(location.url, location.shared));
  SKMS_TRY(DatabaseLock lock, DatabaseLock::Take(location.path));
  auto state = std::make_unique<State>(std::move(engine), std::move(lock));
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
Status Database::Write(DatabaseWork work, Touches touches, Places places) {
  return state_->Write(std::move(work), touches, std::move(places));
}
Status Database::AppendEntries(DatabaseWork work) { return state_->AppendEntries(std::move(work)); }
Status Database::WriteUndecided(const DatabaseWork& work) { return state_->WriteUndecided(work); }
Status Database::WriteAtLength(DatabaseWork work) {
  return state_->WriteAnyway(std::move(work), Touches::kAnything, kAtLength);
}
Status Database::WriteAnyway(DatabaseWork work, Touches touches) {
  return state_->WriteAnyway(std::move(work), touches);
}
std::uint64_t Database::changes() const { return state_->changes(); }
std::uint64_t Database::learnt() const { return state_->others().learnt(); }
bool Database::is_shared() const { return state_->engine().is_shared(); }
Status Database::LookAround() { return state_->LookAround(); }
bool Database::leads() const { return state_->others().leads(); }
Status Database::SeekLead(bool may_lead) { return state_->SeekLead(may_lead); }
void Database::DoubtLead() { state_->others().DoubtLead(); }
std::uint64_t Database::term() const { return state_->others().term(); }
void Database::OnChangedElsewhere(std::function<void(const Places&)> changed) {
  state_->others().OnChangedElsewhere(std::move(changed));
}
void Database::RefuseWrites(std::string why) { state_->RefuseWrites(std::move(why)); }
std::future<Status> Database::BeginPatientWrite(DatabaseWork work) {
  return state_->BeginPatientWrite(std::move(work));
}
Status Database::EmptyLog() { return state_->EmptyLog(); }
void Database::OnReconnected(std::function<Status()> reconnected) {
  state_->others().OnReconnected(std::move(reconnected));
}
std::string Database::trouble() const { return state_->trouble(); }
StoreFigures Database::figures() const { return state_->figures(); }

}  // namespace skms::keystore
