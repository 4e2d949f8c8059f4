#include "api/http/listening_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace skms::http {
namespace {

constexpr int kBacklog = 1024;

Error CloseWith(int fd, const std::string& what) {
  Error error = IoError(what, errno);
  ::close(fd);
  return error;
}

struct TcpAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<TcpAddress> ParseAddress(const std::string& address, int port) {
  TcpAddress out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    out.size = sizeof(sockaddr_in);
    return out;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    out.size = sizeof(sockaddr_in6);
    return out;
  }
  return ConfigurationError("listen.address: '" + address + "' is no IP address");
}

}  // namespace

Result<int> ListenOnTcp(const std::string& address, int port) {
  SKMS_TRY(const TcpAddress where, ParseAddress(address, port));
  const std::string what = address + ":" + std::to_string(port);
  const int fd = ::socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return IoError(what, errno);
  const int yes = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0) return CloseWith(fd, what);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&where.storage), where.size) != 0)
    return CloseWith(fd, what);
  if (::listen(fd, kBacklog) != 0) return CloseWith(fd, what);
  return fd;
}

int BoundPort(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  if (storage.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  if (storage.ss_family != AF_INET6) return 0;
  return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
}

Result<int> ListenOnUnix(const std::string& path, unsigned mode, std::optional<gid_t> group) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return ConfigurationError("admin.socket: a socket path has 1 to 107 bytes");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return IoError(path, errno);
  if (::connect(fd, where, sizeof address) == 0) {
    ::close(fd);
    return Error{ErrorCode::kIo, path +
                                     ": another skmsd is running there, or systemd holds the socket "
                                     "(systemctl status 'skmsd*.socket')"};
  }
  ::close(fd);
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) return ConfigurationError(path + ": exists and is not a socket");
    if (::unlink(path.c_str()) != 0) return IoError(path, errno);
  }
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return IoError(path, errno);
  // fchmod before bind gives the file its mode at birth on Linux; nobody can connect before listen anyway.
  if (::fchmod(listener, mode) != 0) return CloseWith(listener, path);
  if (::bind(listener, where, sizeof address) != 0) return CloseWith(listener, path);
  if (group && ::lchown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) {
    const Error error = CloseWith(listener, path);
    ::unlink(path.c_str());
    return ConfigurationError(error.detail + ": cannot be given to group " + std::to_string(*group) +
                              "; the daemon's user must be one of its members");
  }
  if (::chmod(path.c_str(), mode) != 0) return CloseWith(listener, path);
  if (::listen(listener, kBacklog) != 0) return CloseWith(listener, path);
  return listener;
}

}  // namespace skms::http
