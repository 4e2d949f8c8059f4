#include "api/http/inherited_listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace skms::http {
namespace {

bool HasOption(int descriptor, int option, int wanted) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

/// Empty: bound to nothing that we could listen on.
std::string BoundTo(int descriptor) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_UNIX) {
    const auto* unix_address = reinterpret_cast<const sockaddr_un*>(&storage);
    const std::size_t most = size - offsetof(sockaddr_un, sun_path);
    return std::string(unix_address->sun_path, ::strnlen(unix_address->sun_path, most));
  }
  const void* address = nullptr;
  in_port_t port = 0;
  if (storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
    address = &v4->sin_addr;
    port = v4->sin_port;
  } else if (storage.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    address = &v6->sin6_addr;
    port = v6->sin6_port;
  }
  if (address == nullptr || ::inet_ntop(storage.ss_family, address, text.data(), text.size()) == nullptr)
    return {};
  return std::string(text.data()) + ":" + std::to_string(ntohs(port));
}

}  // namespace

Result<InheritedListeners> InheritedListeners::Of(const std::vector<int>& descriptors) {
  InheritedListeners made;
  // All are owned before the first is looked at, so that none is left open.
  for (const int descriptor : descriptors) made.listeners_.push_back({descriptor, BoundTo(descriptor)});
  for (const Listener& one : made.listeners_) SKMS_TRYV(Check(one));
  return made;
}

Status InheritedListeners::Check(const Listener& one) {
  const bool listens = HasOption(one.descriptor, SO_TYPE, SOCK_STREAM) &&
                       HasOption(one.descriptor, SO_ACCEPTCONN, 1) && !one.where.empty();
  if (!listens) {
    return ConfigurationError("descriptor " + std::to_string(one.descriptor) +
                              " that the service manager hands over is no listening stream socket");
  }
  if (::fcntl(one.descriptor, F_SETFD, FD_CLOEXEC) != 0) return IoError(one.where, errno);
  return Ok();
}

Status InheritedListeners::Add(int descriptor) {
  listeners_.push_back({descriptor, BoundTo(descriptor)});
  return Check(listeners_.back());
}

Result<InheritedListeners> InheritedListeners::Duplicate() const {
  InheritedListeners made;
  made.listeners_.reserve(listeners_.size());
  for (const Listener& one : listeners_) {
    const int copy = ::fcntl(one.descriptor, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return IoError(one.where, errno);
    made.listeners_.push_back({copy, one.where});
  }
  return made;
}

bool InheritedListeners::HasUnix(const std::string& path) const {
  return std::any_of(listeners_.begin(), listeners_.end(),
                     [&](const Listener& one) { return one.where == path; });
}

InheritedListeners::InheritedListeners(InheritedListeners&& other) noexcept
    : listeners_(std::exchange(other.listeners_, {})) {}

InheritedListeners& InheritedListeners::operator=(InheritedListeners&& other) noexcept {
  std::swap(listeners_, other.listeners_);
  return *this;
}

InheritedListeners::~InheritedListeners() {
  for (const Listener& one : listeners_) ::close(one.descriptor);
}

std::optional<int> InheritedListeners::Take(const std::string& where) {
  const auto found = std::find_if(listeners_.begin(), listeners_.end(),
                                  [&](const Listener& one) { return one.where == where; });
  if (found == listeners_.end()) return std::nullopt;
  const int descriptor = found->descriptor;
  listeners_.erase(found);
  return descriptor;
}

std::optional<int> InheritedListeners::TakeUnix(const std::string& path) { return Take(path); }

std::optional<int> InheritedListeners::TakeTcp(const std::string& address, int port) {
  return Take(address + ":" + std::to_string(port));
}

Status InheritedListeners::CheckAllTaken() const {
  if (listeners_.empty()) return Ok();
  std::string places;
  for (const Listener& one : listeners_) places += (places.empty() ? "" : ", ") + one.where;
  return ConfigurationError(
      "the service manager listens on " + places +
      " for skmsd, and the configuration names nothing there; disable that socket unit, or "
      "name the same place in both");
}

}  // namespace skms::http
