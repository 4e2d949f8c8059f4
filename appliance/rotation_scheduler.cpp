#include "appliance/rotation_scheduler.h"

#include <algorithm>
#include <string>
#include <typeinfo>
#include <utility>

#include "base/log.h"

namespace skms::appliance {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kAfterError{5000};
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
  for (;;) {
    const milliseconds pause = Tick();
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, pause, [this] { return stopping_; })) return;
  }
}

bool RotationScheduler::LoadHold() {
  if (hold_is_loaded_) return true;
  auto hold = store_.HeldRotation();
  if (hold.has_error()) {
    const std::string error = hold.error().Describe();
    if (error != last_error_) LogError("rotation: " + error);
    last_error_ = error;
    return false;
  }
  hold_is_loaded_ = true;
  earlier_hold_ = std::move(hold).value();
  if (!earlier_hold_) return true;
  report_.held = true;
  report_.reason = earlier_hold_->reason + " (before the restart)";
  LogCritical("rotation is still held: " + report_.reason +
              "; when the time is right: skmsctl rotation resume");
  return true;
}

bool RotationScheduler::CameBack() const { return clock_.NowSeconds() < earlier_hold_->since; }

bool RotationScheduler::Held() {
  std::unique_lock lock(mutex_);
  if (!LoadHold()) return true;
  const auto drift = duration_cast<std::chrono::seconds>(watch_.Drift());
  const bool leapt = drift > options_.hold_clock_step || (earlier_hold_ && !CameBack());
  // Small steps add up to nothing: time servers correct clocks for years.
  if (!leapt && !report_.held) watch_.Trust();
  if (leapt == report_.held) return leapt;
  report_.held = leapt;
  earlier_hold_.reset();
  report_.reason = leapt ? "the clock went forward by " + std::to_string(drift.count()) + " s at once" : "";
  const std::string reason = report_.reason;
  lock.unlock();
  if (leapt) {
    LogCritical("rotation is held: " + reason + "; when the time is right: skmsctl rotation resume");
  } else {
    LogWarning("rotation goes on: the clock came back");
  }
  const Status recorded = leapt ? store_.HoldRotation(kActor, {clock_.NowSeconds(), reason})
                                : store_.ResumeRotation(kActor, "the clock came back");
  if (recorded.has_error()) LogError("rotation: " + recorded.error().Describe());
  return leapt;
}

Result<keystore::RotationRun> RotationScheduler::Run() {
  try {
    return store_.RunRotation(options_.keys_in_a_run);
  } catch (const std::exception& exception) {
    // Its type only: a library's text may quote what was stored.
    return InternalError(std::string("exception of type ") + typeid(exception).name());
  }
}

milliseconds RotationScheduler::Tick() {
  if (Held()) return options_.interval;
  const auto begun = steady_clock::now();
  const auto run = Run();
  const auto took = duration_cast<milliseconds>(steady_clock::now() - begun) + milliseconds(1);
  const std::lock_guard lock(mutex_);
  if (run.has_error()) {
    std::string error = run.error().Describe();
    if (error != last_error_)
      LogError("rotation: " + error + "; tried again every " + std::to_string(kAfterError.count() / 1000) +
               " s");
    last_error_ = std::move(error);
    return kAfterError;
  }
  last_error_.clear();
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
  return !hold_is_loaded_ || report_.held || watch_.Drift() > options_.hold_clock_step;
}

admin::RotationReport RotationScheduler::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

Status RotationScheduler::Resume(const keystore::PrincipalId& by) {
  const std::lock_guard lock(mutex_);
  if (!report_.held) return Conflict("rotation is not held");
  SKMS_TRYV(store_.ResumeRotation(by, "the time is right"));
  watch_.Trust();
  earlier_hold_.reset();
  report_.held = false;
  report_.reason.clear();
  return Ok();
}

}  // namespace skms::appliance
