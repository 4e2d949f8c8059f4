// Watchdog: tells the service manager that this process does its work (sd_watchdog_enabled(3)), for as long
// as it does: what `alive` looks at must answer, or nothing is told and the manager ends the process.
//
// Start and Stop are for one owner thread. Stop waits for a look that is being taken.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/result.h"

namespace skms::appliance {

class Watchdog {
 public:
  /// Looks every few seconds, and three times in `period` at least, after which the manager loses patience.
  /// `alive` may hang.
  Watchdog(std::chrono::microseconds period, std::function<Status()> alive, std::function<void()> tell);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  void Start();
  /// Looks no more; does not wait for a look that is being taken.
  void BeginStop();
  void Stop();

 private:
  void Run();

  const std::chrono::microseconds pause_;
  const std::function<Status()> alive_;
  const std::function<void()> tell_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skms::appliance
