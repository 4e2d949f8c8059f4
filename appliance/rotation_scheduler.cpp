#include "appliance/rotation_scheduler.h"

#include <algorithm>
#include <string>
#include <typeinfo>
#include <utility>

#include "base/log.h"
#include "base/thread_priority.h"

namespace skms::appliance {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kAfterError{5000};
constexpr std::chrono::seconds kNoteworthy{60};
constexpr std::int64_t kNeverEnding = std::int64_t{100} * 365 * 86400;
const keystore::PrincipalId kActor("scheduler");

}  // namespace

milliseconds ClockWatch::Drift() const {
  const milliseconds wall(clock_.NowMilliseconds() - wall_ms_);
  return wall - duration_cast<milliseconds>(clock_.Monotonic() - monotonic_);
}

void ClockWatch::Trust() {
  wall_ms_ = clock_.NowMilliseconds();
  monotonic_ = clock_.Monotonic();
}

RotationScheduler::RotationScheduler(keystore::KeyStore& store, const Clock& clock, RotationOptions options)
    : store_(store), clock_(clock), options_(options), watch_(clock) {}

RotationScheduler::~RotationScheduler() { Stop(); }

void RotationScheduler::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void RotationScheduler::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RotationScheduler::Loop() {
  LowerPriority(ThreadPriority::kBackground);
  for (;;) {
    const milliseconds pause = Tick();
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, pause, [this] { return stopping_; })) return;
  }
}

bool RotationScheduler::LoadHold() {
  if (hold_is_loaded_) return true;
  auto stored = store_.HeldRotation();
  if (stored.has_error() && stored.error().code != ErrorCode::kIntegrity) {
    Complain(stored.error());
    return false;
  }
  hold_is_loaded_ = true;
  // What cannot be read must not mean "go on".
  const std::optional<keystore::RotationHold> hold =
      stored.has_error() ? keystore::RotationHold{clock_.NowSeconds(), kNeverEnding, stored.error().detail}
                         : stored.value();
  if (!hold) return true;
  const std::chrono::seconds ahead(hold->leap);
  const std::chrono::seconds since_then(clock_.NowSeconds() - (hold->since - hold->leap));
  hold_ = hold;
  report_.held = true;
  report_.reason = hold->reason + " (before the restart)";
  // A clock that was mended meanwhile shows little more than the time before the leap.
  carried_ = since_then <= options_.hold_clock_step ? std::chrono::seconds(0) : ahead;
  LogCritical("rotation is still held: " + report_.reason +
              "; when the time is right: skmsctl rotation resume");
  return true;
}

std::chrono::seconds RotationScheduler::Leap() const {
  return carried_ + duration_cast<std::chrono::seconds>(watch_.Drift());
}

void RotationScheduler::Hold(std::chrono::seconds leap) {
  hold_ = keystore::RotationHold{clock_.NowSeconds(), leap.count(),
                                 "the clock went forward by " + std::to_string(leap.count()) + " s at once"};
  report_.held = true;
  report_.reason = hold_->reason;
  hold_is_unsaved_ = true;
  LogCritical("rotation is held: " + report_.reason + "; when the time is right: skmsctl rotation resume");
}

void RotationScheduler::GoOn() {
  watch_.Trust();
  carried_ = std::chrono::seconds(0);
  hold_.reset();
  report_.held = false;
  report_.reason.clear();
}

void RotationScheduler::SaveHold() {
  const Status saved =
      hold_ ? store_.HoldRotation(kActor, *hold_) : store_.ResumeRotation(kActor, "the clock came back");
  hold_is_unsaved_ = saved.has_error();
  if (saved.has_error()) {
    Complain(saved.error());
  } else {
    last_error_.clear();
  }
}

void RotationScheduler::Complain(const Error& error) {
  std::string text = error.Describe();
  if (text != last_error_) LogError("rotation: " + text);
  last_error_ = std::move(text);
}

bool RotationScheduler::Held() {
  const std::lock_guard lock(mutex_);
  if (!LoadHold()) return true;
  const std::chrono::seconds leap = Leap();
  const bool leapt = leap > options_.hold_clock_step;
  if (leapt && !report_.held) {
    Hold(leap);
  } else if (!leapt && report_.held) {
    LogWarning("rotation goes on: the clock came back");
    GoOn();
    hold_is_unsaved_ = true;
  } else if (leapt && std::chrono::abs(leap - std::chrono::seconds(hold_->leap)) > kNoteworthy) {
    // It moved while held: a restart must know how far it has to come back now.
    hold_->since = clock_.NowSeconds();
    hold_->leap = leap.count();
    hold_is_unsaved_ = true;
  } else if (!leapt) {
    // Small steps add up to nothing: time servers correct clocks for years.
    watch_.Trust();
  }
  // Tried with every run until it is written: a restart must find it.
  if (hold_is_unsaved_) SaveHold();
  return report_.held;
}

Result<keystore::RotationRun> RotationScheduler::Run() {
  try {
    return store_.RunRotation(options_.keys_in_a_run);
  } catch (const std::exception& exception) {
    // Its type only: a library's text may quote what was stored.
    return InternalError(std::string("exception of type ") + typeid(exception).name());
  }
}

/// Another server rotates. What its clock says counts there; a leap of this one is kept in mind until it is
/// gone, or holds rotation once this server leads.
void RotationScheduler::StandBy() {
  const std::lock_guard lock(mutex_);
  hold_is_loaded_ = false;
  hold_is_unsaved_ = false;
  hold_.reset();
  carried_ = std::chrono::seconds(0);
  report_.held = false;
  report_.reason.clear();
  if (std::chrono::abs(Leap()) <= options_.hold_clock_step) watch_.Trust();
}

milliseconds RotationScheduler::Tick() {
  if (!store_.leads()) {
    StandBy();
    return options_.interval;
  }
  if (Held()) return options_.interval;
  const auto begun = steady_clock::now();
  const auto run = Run();
  const auto took = duration_cast<milliseconds>(steady_clock::now() - begun) + milliseconds(1);
  const std::lock_guard lock(mutex_);
  if (run.has_error()) {
    Complain(run.error());
    return kAfterError;
  }
  if (!hold_is_unsaved_) last_error_.clear();
  report_.last_run = clock_.NowSeconds();
  report_.made += run.value().made;
  report_.activated += run.value().activated;
  report_.ended += run.value().ended;
  report_.wiped += run.value().wiped;
  report_.behind = run.value().more;
  if (!run.value().more) return options_.interval;
  const int share = std::clamp(options_.share_percent, 1, 100);
  return took * (100 - share) / share;
}

bool RotationScheduler::ClockIsSuspect() const {
  const std::lock_guard lock(mutex_);
  return !hold_is_loaded_ || report_.held || Leap() > options_.hold_clock_step;
}

admin::RotationReport RotationScheduler::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

Status RotationScheduler::Resume(const keystore::PrincipalId& by) {
  const std::lock_guard lock(mutex_);
  if (!report_.held && store_.leads()) return Conflict("rotation is not held");
  SKMS_TRYV(store_.ResumeRotation(by, "the time is right"));
  GoOn();
  hold_is_unsaved_ = false;
  return Ok();
}

}  // namespace skms::appliance
