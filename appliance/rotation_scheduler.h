// RotationScheduler: the daemon's thread that rotates keys by the clock, a few at a time, so that requests
// hardly notice.
//
// It holds when the wall clock leaps forward against the monotonic one (a wrong time source would rotate
// every key there is, to beginnings in the future): until the clock comes back, or an administrator says that
// the time is right. A hold outlives a restart. A clock set back makes nothing due. Start, Stop: one owner
// thread; the rest is thread-safe. Borrows the store and the clock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

#include "api/admin/admin_api.h"
#include "base/clock.h"
#include "keystore/key_store.h"

namespace skms::appliance {

struct RotationOptions {
  std::chrono::milliseconds interval{1000};  ///< between runs that find nothing more to do
  std::size_t keys_in_a_run = 16;            ///< more: faster catching up, longer waits of requests behind it
  int share_percent = 25;                    ///< of one core's time, while catching up
  std::chrono::seconds hold_clock_step{86400};  ///< a leap forward by more holds rotation
};

/// How far the wall clock has left the monotonic one.
class ClockWatch {
 public:
  explicit ClockWatch(const Clock& clock) : clock_(clock) { Trust(); }
  /// Since the last Trust; positive: the wall clock went ahead.
  std::chrono::milliseconds Drift() const;
  /// The present time is right.
  void Trust();

 private:
  const Clock& clock_;
  std::int64_t wall_ms_ = 0;
  std::chrono::steady_clock::time_point monotonic_;
};

class RotationScheduler {
 public:
  RotationScheduler(keystore::KeyStore& store, const Clock& clock, RotationOptions options);
  RotationScheduler(const RotationScheduler&) = delete;
  RotationScheduler& operator=(const RotationScheduler&) = delete;
  ~RotationScheduler();

  void Start();
  /// A run in progress ends first. Idempotent.
  void Stop();

  /// One run, as the thread does it; how long to wait before the next.
  std::chrono::milliseconds Tick();

  admin::RotationReport report() const;
  /// Rotation is held or about to be: what is too old by this clock may not be old at all.
  bool ClockIsSuspect() const;
  /// Trusts the present time and goes on. kConflict when rotation is not held; kStorage.
  Status Resume(const keystore::PrincipalId& by);

 private:
  bool Held();
  void StandBy();
  // The rest is called under the mutex.
  /// What the last daemon left; false when it cannot be read yet.
  bool LoadHold();
  /// How far the clock is ahead of what was trusted last, also by an earlier daemon.
  std::chrono::seconds Leap() const;
  void Hold(std::chrono::seconds leap);
  void GoOn();
  void SaveHold();
  void Complain(const Error& error);  ///< once for each text
  /// One run; an exception is an error like another.
  Result<keystore::RotationRun> Run();
  void Loop();

  keystore::KeyStore& store_;
  const Clock& clock_;
  const RotationOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  ClockWatch watch_;
  admin::RotationReport report_;
  std::string last_error_;
  bool hold_is_loaded_ = false;
  bool hold_is_unsaved_ = false;
  std::optional<keystore::RotationHold> hold_;
  std::chrono::seconds carried_{0};  ///< a leap that an earlier daemon saw
  std::thread thread_;
};

}  // namespace skms::appliance
