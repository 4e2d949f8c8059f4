// What every outgoing HTTPS request of the daemon has: TLS 1.2 or newer, a stated CA, no redirect, no proxy,
// a time limit.
#pragma once

#include <chrono>
#include <memory>
#include <string>

namespace skms::appliance {

// libcurl's CURL is void.
struct FreeEasy {
  void operator()(void* easy) const;
};
using EasyPtr = std::unique_ptr<void, FreeEasy>;

/// A handle for `uri` (https only). Its certificate is verified against `ca` (PEM) and nothing else; an empty
/// `ca` means the host's own authorities. nullptr without memory. Used by one thread at a time.
EasyPtr NewHttps(const std::string& uri, const std::string& ca, std::chrono::milliseconds time_limit);

}  // namespace skms::appliance
