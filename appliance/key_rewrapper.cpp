#include "appliance/key_rewrapper.h"

#include <algorithm>

#include "base/log.h"
#include "base/thread_priority.h"

namespace skms::appliance {
namespace {

using admin::RewrapReport;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kMostRowsInAStep =
    32;  // and no more than a quarter of a second's, for the progress to be seen
constexpr milliseconds kAfterTrouble{1000};
constexpr milliseconds kAfterDamage{600000};
constexpr milliseconds kForEver{86400000};

}  // namespace

KeyRewrapper::KeyRewrapper(keystore::KeyStore& store, RewrapOptions options)
    : store_(store), options_(options) {}

KeyRewrapper::~KeyRewrapper() { Stop(); }

void KeyRewrapper::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void KeyRewrapper::Stop() {
  {
    const Lock lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void KeyRewrapper::Begin() {
  {
    const Lock lock(mutex_);
    begin_ = true;
    all_since_.reset();
    report_.phase = RewrapReport::Phase::kCounting;
  }
  wake_.notify_all();
}

RewrapReport KeyRewrapper::report() const {
  const Lock lock(mutex_);
  return report_;
}

std::optional<steady_clock::time_point> KeyRewrapper::AllRewrappedSince() const {
  const Lock lock(mutex_);
  return all_since_;
}

void KeyRewrapper::Loop() {
  LowerPriority(ThreadPriority::kBackground);
  for (;;) {
    const milliseconds pause = Step();
    Lock lock(mutex_);
    wake_.wait_for(lock, pause, [this] { return stop_ || begin_; });
    if (stop_) return;
    if (begin_) {
      begin_ = false;
      counted_ = false;
    }
  }
}

/// Until somebody begins; or the lead may have been lost and won.
milliseconds KeyRewrapper::Idle() const { return store_.is_shared() ? kAfterTrouble : kForEver; }

milliseconds KeyRewrapper::Trouble(const Error& error) {
  const Lock lock(mutex_);
  if (report_.trouble != error.Describe()) LogWarning("token keys: re-wrapping waits: " + error.Describe());
  report_.trouble = error.Describe();
  return kAfterTrouble;
}

/// A row that cannot even be read: the walk does not get past it.
milliseconds KeyRewrapper::Damaged(const Error& error) {
  LogError("token keys: re-wrapping stops: " + error.Describe() + "; the former keys are kept");
  const Lock lock(mutex_);
  report_.phase = RewrapReport::Phase::kDamaged;
  report_.damaged = report_.total - report_.done;
  report_.trouble = error.Describe();
  counted_ = false;
  return kAfterDamage;
}

milliseconds KeyRewrapper::Count() {
  const auto now = steady_clock::now();
  const auto rows = store_.CountTokenKeyRows();
  if (rows.has_error()) return Trouble(rows.error());
  const Lock lock(mutex_);
  counted_ = true;
  const bool on_the_way = report_.phase == RewrapReport::Phase::kRewrapping;
  report_.rows = rows.value().all;
  report_.trouble.clear();
  if (rows.value().old == 0) {
    if (on_the_way)
      LogInfo("token keys: all " + std::to_string(rows.value().all) + " rows are under those in use");
    report_.phase = RewrapReport::Phase::kDone;
    // Whoever read a row before the count may have read it as it was.
    if (!begin_) all_since_ = now;
    return Idle();
  }
  const bool none_left = on_the_way && walk_.rewrapped == 0 && walk_.overtaken == 0;
  if (none_left) {
    report_.phase = RewrapReport::Phase::kDamaged;
    report_.damaged = rows.value().old;
    LogError("token keys: " + std::to_string(rows.value().old) +
             " rows cannot be brought under those in use; the log names them, the former keys are kept");
    counted_ = false;
    return kAfterDamage;
  }
  if (!on_the_way) {
    began_ = now;
    report_.total = rows.value().old;
    report_.done = 0;
    report_.damaged = 0;
    report_.phase = RewrapReport::Phase::kRewrapping;
    LogInfo("token keys: " + std::to_string(rows.value().old) + " of " + std::to_string(rows.value().all) +
            " rows are brought under those in use");
  }
  cursor_ = {};
  walk_ = {};
  return milliseconds(0);
}

void KeyRewrapper::Pause() {
  const steady_clock::duration took = steady_clock::now() - at_work_since_;
  const auto by_share = took * (100 - options_.share_percent) / options_.share_percent;
  const auto by_rate = microseconds(1000000 / options_.rows_per_second) - took;
  const auto pause = std::max<steady_clock::duration>(by_share, by_rate);
  if (pause > steady_clock::duration::zero()) {
    Lock lock(mutex_);
    wake_.wait_for(lock, pause, [this] { return stop_; });
  }
  at_work_since_ = steady_clock::now();
}

/// Another server re-wraps.
void KeyRewrapper::StandBy() {
  const Lock lock(mutex_);
  counted_ = false;
  all_since_.reset();
  report_ = {};
}

milliseconds KeyRewrapper::Step() {
  if (!store_.leads()) {
    StandBy();
    return kAfterTrouble;
  }
  // Another server may have led in between.
  if (const std::uint64_t term = store_.term(); term != term_) {
    StandBy();
    term_ = term;
  }
  if (!counted_) return Count();
  if (report().phase == RewrapReport::Phase::kDone) return Idle();
  at_work_since_ = steady_clock::now();
  const std::size_t rows = std::clamp<std::size_t>(options_.rows_per_second / 4, 1, kMostRowsInAStep);
  keystore::RewrapRun run;
  const Status status = store_.RewrapRows(
      cursor_, rows, [this] { Pause(); }, run);
  const auto now = steady_clock::now();
  walk_.rewrapped += run.rewrapped;
  walk_.overtaken += run.overtaken;
  walk_.damaged += run.damaged;
  {
    const Lock lock(mutex_);
    if (status.has_value()) report_.trouble.clear();
    report_.done = std::min(report_.total, report_.done + run.rewrapped);
    const double seconds = std::chrono::duration<double>(now - began_).count();
    report_.rows_per_second = seconds > 0 ? static_cast<double>(report_.done) / seconds : 0;
  }
  if (status.has_error() && status.error().code == ErrorCode::kIntegrity) return Damaged(status.error());
  if (status.has_error()) return Trouble(status.error());
  if (cursor_.table == keystore::RewrapCursor::Table::kEnd) return Count();
  // Rows that were only looked at take their share of the time, too.
  if (run.rewrapped + run.overtaken + run.damaged == 0) Pause();
  return milliseconds(0);
}

}  // namespace skms::appliance
