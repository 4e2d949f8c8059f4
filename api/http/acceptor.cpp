#include "api/http/acceptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace skms::http {
namespace {

constexpr std::chrono::milliseconds kPauseWithoutMeans{20};

}  // namespace

Acceptor::Acceptor(int listener, int stop_fd, std::function<void(int)> take)
    : listener_(listener), stop_fd_(stop_fd), take_(std::move(take)) {}

Acceptor::~Acceptor() {
  Join();
  if (listener_ >= 0) ::close(listener_);
}

Status Acceptor::Start() {
  // Another process may have taken the connection that poll told of.
  const int flags = ::fcntl(listener_, F_GETFL);
  if (flags < 0 || ::fcntl(listener_, F_SETFL, flags | O_NONBLOCK) != 0)
    return IoError("the listening socket", errno);
  thread_ = std::thread([this] { Run(); });
  return Ok();
}

void Acceptor::Join() {
  if (!thread_.joinable()) return;
  thread_.join();
  ::close(listener_);
  listener_ = -1;
}

void Acceptor::Run() {
  std::array<pollfd, 2> polled{{{listener_, POLLIN, 0}, {stop_fd_, POLLIN, 0}}};
  for (;;) {
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) break;
    if (polled[1].revents != 0 || !TakeAll()) break;
  }
  ended_ = true;
}

bool Acceptor::TakeAll() {
  for (;;) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) {
      take_(connection);
      // Whoever comes without a pause must not keep us from hearing that we stop.
      return true;
    }
    switch (errno) {
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
      case EOPNOTSUPP:
        LogCritical("transport: the listener is gone (" + std::system_category().message(errno) + ")");
        return false;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        if (tells_.Now())
          LogError("transport: no connection can be accepted (" + std::system_category().message(errno) +
                   ")");
        std::this_thread::sleep_for(kPauseWithoutMeans);
        return true;
      case EINTR:
        continue;
      default:
        return true;  // nothing there any more, or a connection that ended before it began
    }
  }
}

}  // namespace skms::http
