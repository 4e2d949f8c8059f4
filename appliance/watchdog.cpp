#include "appliance/watchdog.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace skms::appliance {
namespace {

// Of a patience of minutes, one look that fails must not cost a third.
constexpr std::chrono::seconds kLongestPause{5};

}  // namespace

Watchdog::Watchdog(std::chrono::microseconds period, std::function<Status()> alive,
                   std::function<void()> tell)
    : pause_(std::min<std::chrono::microseconds>(period / 3, kLongestPause)),
      alive_(std::move(alive)),
      tell_(std::move(tell)) {}

Watchdog::~Watchdog() { Stop(); }

void Watchdog::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Watchdog::BeginStop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ended_.notify_all();
}

void Watchdog::Stop() {
  BeginStop();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::Run() {
  bool told_trouble = false;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const Status status = alive_();
    if (status.has_value()) {
      tell_();
    } else if (!told_trouble) {
      LogWarning("watchdog: not told that all is well: " + status.error().Describe());
    }
    told_trouble = status.has_error();
    lock.lock();
    ended_.wait_for(lock, pause_, [this] { return stopping_; });
  }
}

}  // namespace skms::appliance
