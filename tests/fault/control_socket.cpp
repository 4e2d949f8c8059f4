#include "tests/fault/control_socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

namespace skms::fault {
namespace {

constexpr std::size_t kMaxLineBytes = 4096;
constexpr std::size_t kMaxClients = 32;

std::string Reason(const std::string& what) { return what + ": " + std::generic_category().message(errno); }

/// A socket that was left by a process that did not live to remove it.
bool NobodyListens(const sockaddr_un& address) {
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool refused = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
                       errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

bool Send(int fd, const std::string& text) {
  std::size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t more = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (more <= 0) return false;
    sent += static_cast<std::size_t>(more);
  }
  return true;
}

}  // namespace

std::string ControlSocket::Start(const std::string& path, Handler handler) {
  const std::lock_guard lock(starting_);
  if (listener_ >= 0) return "";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return path + ": the path is too long for a socket";
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return path + ": there is a file that is no socket";
    if (!NobodyListens(address)) return path + ": another process listens on it";
    ::unlink(path.c_str());
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Before bind, so that the socket's file is never seen with another mode.
  const bool made = fd >= 0 && ::fchmod(fd, 0600) == 0 &&
                    ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                    ::listen(fd, 8) == 0;
  if (!made) {
    const std::string reason = Reason(path);
    if (fd >= 0) ::close(fd);
    return reason;
  }
  path_ = path;
  handler_ = std::move(handler);
  listener_ = fd;
  wake_ = ::eventfd(0, EFD_CLOEXEC);
  // The application's signals are for the application's threads.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread(&ControlSocket::Serve, this);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return "";
}

void ControlSocket::Stop() {
  const std::lock_guard lock(starting_);
  if (listener_ < 0) return;
  const std::uint64_t one = 1;
  if (::write(wake_, &one, sizeof one) == sizeof one) thread_.join();
  for (const Client& client : clients_) ::close(client.fd);
  clients_.clear();
  ::unlink(path_.c_str());
  path_.clear();
  ::close(std::exchange(listener_, -1));
  ::close(std::exchange(wake_, -1));
}

std::string ControlSocket::path() const {
  const std::lock_guard lock(starting_);
  return path_;
}

void ControlSocket::Serve() {
  while (true) {
    std::vector<pollfd> polled{{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Client& client : clients_) polled.push_back({client.fd, POLLIN, 0});
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;
    std::vector<Client> staying;
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      if (polled[i + 2].revents == 0 || Read(clients_[i])) {
        staying.push_back(std::move(clients_[i]));
      } else {
        ::close(clients_[i].fd);
      }
    }
    clients_ = std::move(staying);
    if (polled[1].revents != 0) Accept();
  }
}

void ControlSocket::Accept() {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  // Who asks and does not read the answer must not hold up the others.
  const timeval patience{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (clients_.size() < kMaxClients) {
    clients_.push_back({fd, ""});
  } else {
    Send(fd, "error close another connection first\n");
    ::close(fd);
  }
}

bool ControlSocket::Read(Client& client) const {
  char buffer[1024];
  const ssize_t size = ::recv(client.fd, buffer, sizeof buffer, 0);
  if (size <= 0) return false;
  client.received.append(buffer, static_cast<std::size_t>(size));
  for (std::size_t end; (end = client.received.find('\n')) != std::string::npos;) {
    const std::string line = client.received.substr(0, end);
    client.received.erase(0, end + 1);
    if (!Send(client.fd, handler_(line))) return false;
  }
  if (client.received.size() <= kMaxLineBytes) return true;
  Send(client.fd, "error write shorter lines\n");
  return false;
}

}  // namespace skms::fault
