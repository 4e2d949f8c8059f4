#include "appliance/store_watch.h"

#include "base/log.h"

namespace skms::appliance {
namespace {

constexpr std::chrono::milliseconds kLook{500};

}  // namespace

void StoreWatch::Start() {
  if (!store_.is_shared()) return;
  // One that is alone leads from the start.
  Look();
  thread_ = std::thread([this] { Loop(); });
}

void StoreWatch::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StoreWatch::Loop() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, kLook, [this] { return stop_; })) return;
    }
    Look();
  }
}

void StoreWatch::Look() {
  Status looked = store_.LookAround();
  if (const Status sought = store_.SeekLead(); looked.has_value())
    looked = sought.has_error() ? Status(sought.error()) : Ok();
  const bool leads = store_.leads();
  if (leads != led_)
    LogInfo(leads ? "this server leads: rotation, re-wrapping, notifications and the audit chain's signatures"
                    " are its work"
                  : "this server does not lead any more");
  led_ = leads;
  // A server that is away is told of by the store itself, once.
  if (looked.has_error() && looked.error().code != ErrorCode::kStoreUnavailable)
    LogError("what other servers have changed cannot be seen: " + looked.error().Describe());
}

}  // namespace skms::appliance
