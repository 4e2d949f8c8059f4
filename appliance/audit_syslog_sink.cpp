#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

#include "appliance/audit_sink.h"
#include "base/clock.h"

namespace skms::appliance {
namespace {

constexpr std::string_view kTcp = "tcp://";
constexpr int kAuditFacility = 13;
constexpr int kInformational = 6;
constexpr int kWarning = 4;
constexpr std::chrono::seconds kPatience{5};

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 && name.front() != '\0' ? name.data() : "-";
}

/// RFC 3339 with milliseconds.
std::string TimestampOf(std::int64_t time_ms) {
  std::string text = FormatUtc(time_ms / 1000);
  const std::string fraction = std::to_string(1000 + time_ms % 1000);
  return text.insert(text.size() - 1, "." + fraction.substr(1));
}

/// One that is not reached in time is as bad as none.
void SetPatience(int descriptor) {
  const timeval patience{kPatience.count(), 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

class SyslogSink final : public AuditSink {
 public:
  explicit SyslogSink(std::string address)
      : address_(std::move(address)),
        stream_(address_.rfind(kTcp, 0) == 0),
        host_(HostName()),
        process_(std::to_string(::getpid())) {}
  ~SyslogSink() override { Hang(); }

  Status Deliver(const std::vector<AuditLine>& lines) override {
    SKMS_TRYV(Connect());
    for (const AuditLine& line : lines) {
      Status sent = Send(Message(line));
      if (sent.has_error()) {
        Hang();
        return sent;
      }
    }
    return Ok();
  }

 private:
  std::string Message(const AuditLine& line) const {
    const int priority = kAuditFacility * 8 + (line.refused ? kWarning : kInformational);
    const std::string message = "<" + std::to_string(priority) + ">1 " + TimestampOf(line.time_ms) + " " +
                                host_ + " skmsd " + process_ + (line.checkpoint ? " checkpoint" : " audit") +
                                " - " + line.text;
    return stream_ ? std::to_string(message.size()) + " " + message : message;
  }

  Error CannotReach(const std::string& why) const {
    return Error{ErrorCode::kIo, "the syslog collector at " + address_ + ": " + why};
  }

  Status Send(const std::string& message) {
    for (std::size_t done = 0; done < message.size();) {
      const ssize_t sent = ::send(descriptor_, message.data() + done, message.size() - done, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return CannotReach(std::generic_category().message(errno));
      done += static_cast<std::size_t>(sent);
    }
    return Ok();
  }

  /// Who has closed his end takes nothing, though the first octets to him are sent without an error.
  bool HasHungUp() const {
    std::array<char, 1> octet{};
    const ssize_t got = ::recv(descriptor_, octet.data(), octet.size(), MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
  }

  Status Connect() {
    if (descriptor_ >= 0 && stream_ && HasHungUp()) Hang();
    if (descriptor_ >= 0) return Ok();
    return stream_ ? ConnectTcp() : ConnectUnix();
  }

  Status ConnectUnix() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (address_.size() >= sizeof address.sun_path) return CannotReach("the path is too long");
    std::memcpy(address.sun_path, address_.data(), address_.size());
    const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return CannotReach(std::generic_category().message(errno));
    SetPatience(descriptor);
    if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      const Error error = CannotReach(std::generic_category().message(errno));
      ::close(descriptor);
      return error;
    }
    descriptor_ = descriptor;
    return Ok();
  }

  Status ConnectTcp() {
    const std::string rest = address_.substr(kTcp.size());
    const std::size_t colon = rest.rfind(':');
    std::string host = rest.substr(0, colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    const std::string port = rest.substr(colon + 1);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int failed = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
    if (failed != 0) return CannotReach(::gai_strerror(failed));
    Status status = CannotReach("no address");
    for (const addrinfo* one = found; one != nullptr && descriptor_ < 0; one = one->ai_next) {
      const int descriptor = ::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
      if (descriptor < 0) continue;
      SetPatience(descriptor);
      if (::connect(descriptor, one->ai_addr, one->ai_addrlen) == 0) {
        descriptor_ = descriptor;
        status = Ok();
      } else {
        status = CannotReach(std::generic_category().message(errno));
        ::close(descriptor);
      }
    }
    ::freeaddrinfo(found);
    return status;
  }

  void Hang() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

  const std::string address_;
  const bool stream_;
  const std::string host_;
  const std::string process_;
  int descriptor_ = -1;
};

}  // namespace

std::unique_ptr<AuditSink> MakeAuditSyslogSink(const std::string& address) {
  return std::make_unique<SyslogSink>(address);
}

}  // namespace skms::appliance
