#include "api/http/connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace skms::http {

void Connection::FreeSsl::operator()(ssl_st* ssl) const { SSL_free(ssl); }

Connection::Connection(int fd, int stop_fd, const TlsServer* tls)
    : fd_(fd), stop_fd_(stop_fd), secure_(tls != nullptr) {
  ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
  if (tls != nullptr) {
    const int yes = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ssl_.reset(tls->NewConnection(fd_));
  }
}

Connection::~Connection() {
  if (shaken_) SSL_shutdown(ssl_.get());
  ssl_.reset();
  ::shutdown(fd_, SHUT_RDWR);
  ::close(fd_);
}

bool Connection::Wait(short events, Time deadline, bool stoppable) const {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    std::array<pollfd, 2> polled{{{fd_, events, 0}, {stop_fd_, POLLIN, 0}}};
    const int ready = ::poll(polled.data(), stoppable ? 2 : 1, static_cast<int>(std::min<long>(left, 60000)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return false;
    if (polled[0].revents != 0) return true;
    if (stoppable && polled[1].revents != 0) return false;
  }
}

bool Connection::WaitForTls(int result, Time deadline, bool stoppable) const {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Wait(POLLIN, deadline, stoppable);
    case SSL_ERROR_WANT_WRITE:
      return Wait(POLLOUT, deadline, stoppable);
    default:
      return false;
  }
}

bool Connection::Handshake(Time deadline) {
  if (!ssl_) return !secure_;
  for (;;) {
    ERR_clear_error();
    const int result = SSL_accept(ssl_.get());
    if (result == 1) {
      shaken_ = true;
      return true;
    }
    if (!WaitForTls(result, deadline, true)) return false;
  }
}

bool Connection::WaitForRequest(Time deadline, bool stoppable) {
  if (ssl_ && SSL_pending(ssl_.get()) > 0) return true;
  return Wait(POLLIN, deadline, stoppable);
}

std::size_t Connection::Read(char* out, std::size_t size, Time deadline, bool stoppable) {
  for (;;) {
    if (ssl_) {
      ERR_clear_error();
      const int got = SSL_read(ssl_.get(), out, static_cast<int>(std::min<std::size_t>(size, 1U << 20U)));
      if (got > 0) return static_cast<std::size_t>(got);
      if (SSL_get_error(ssl_.get(), got) == SSL_ERROR_SSL)
        shaken_ = false;  // no close_notify on a broken session
      if (!WaitForTls(got, deadline, stoppable)) return 0;
      continue;
    }
    const ssize_t got = ::recv(fd_, out, size, 0);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) return 0;
    if (errno != EAGAIN && errno != EINTR) return 0;
    if (!Wait(POLLIN, deadline, stoppable)) return 0;
  }
}

bool Connection::WriteAll(std::string_view octets, Time deadline) {
  while (!octets.empty()) {
    if (ssl_) {
      ERR_clear_error();
      const int wrote = SSL_write(ssl_.get(), octets.data(), static_cast<int>(octets.size()));
      if (wrote > 0) {
        octets.remove_prefix(static_cast<std::size_t>(wrote));
      } else if (!WaitForTls(wrote, deadline, false)) {
        shaken_ = false;
        return false;
      }
      continue;
    }
    const ssize_t wrote = ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (wrote > 0) {
      octets.remove_prefix(static_cast<std::size_t>(wrote));
    } else if ((errno != EAGAIN && errno != EINTR) || !Wait(POLLOUT, deadline, false)) {
      return false;
    }
  }
  return true;
}

void Connection::Drain(std::size_t most_bytes, Time deadline) {
  if (shaken_) SSL_shutdown(ssl_.get());
  ::shutdown(fd_, SHUT_WR);
  std::array<char, 16384> sink{};
  std::size_t drained = 0;
  while (drained < most_bytes && Wait(POLLIN, deadline, false)) {
    // Past our close_notify the octets mean nothing any more, so they need no decryption.
    const ssize_t got = ::recv(fd_, sink.data(), sink.size(), 0);
    if (got <= 0 && errno != EAGAIN && errno != EINTR) return;
    if (got == 0) return;
    if (got > 0) drained += static_cast<std::size_t>(got);
  }
  shaken_ = false;
}

void Connection::Describe(RequestContext& context) const {
  if (ssl_) {
    context.transport = TransportKind::kDirectTls;
    context.certificate = PeerCertificateOf(ssl_.get());
    context.tls_version = SSL_get_version(ssl_.get());
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&storage), &size) == 0) {
      const void* address =
          storage.ss_family == AF_INET
              ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr)
              : &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr;
      if (::inet_ntop(storage.ss_family, address, text.data(), text.size()) != nullptr)
        context.peer_address = text.data();
    }
    return;
  }
  context.transport = TransportKind::kAdmin;
  context.peer_address = "unix";
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
    context.credentials = PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
  }
}

}  // namespace skms::http
