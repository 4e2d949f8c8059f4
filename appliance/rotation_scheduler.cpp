#include "appliance/rotation_scheduler.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <typeinfo>
#include <utility>

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

bool RotationScheduler::Held() {
  std::unique_lock lock(mutex_);
  const auto drift = duration_cast<std::chrono::seconds>(watch_.Drift());
  const bool leapt = drift > options_.hold_clock_step;
  // Small steps add up to nothing: time servers correct clocks for years.
  if (!leapt && !report_.held) watch_.Trust();
  if (leapt == report_.held) return leapt;
  report_.held = leapt;
  report_.reason = leapt ? "the clock went forward by " + std::to_string(drift.count()) + " s at once" : "";
  const std::string reason = report_.reason;
  lock.unlock();
  if (leapt) {
    spdlog::critical("rotation is held: {}; when the time is right: skmsctl rotation resume", reason);
  } else {
    spdlog::warn("rotation goes on: the clock came back");
  }
  const Status recorded = store_.RecordDone(kActor, leapt ? "rotation.hold" : "rotation.resume",
                                            leapt ? reason : "the clock came back");
  if (recorded.has_error()) spdlog::error("rotation: {}", recorded.error().Describe());
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
      spdlog::error("rotation: {}; tried again every {} s", error, kAfterError.count() / 1000);
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

admin::RotationReport RotationScheduler::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

Status RotationScheduler::Resume(const keystore::PrincipalId& by) {
  const std::lock_guard lock(mutex_);
  if (!report_.held) return Conflict("rotation is not held");
  SKMS_TRYV(store_.RecordDone(by, "rotation.resume", "the time is right"));
  watch_.Trust();
  report_.held = false;
  report_.reason.clear();
  return Ok();
}

}  // namespace skms::appliance
