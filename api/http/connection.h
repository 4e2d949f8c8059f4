// Connection: one accepted socket, plain or TLS, with a deadline on everything it does.
//
// Owns the socket. One thread. No read or write waits past the deadline set last; a client that sends a byte
// a second is cut all the same.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "api/http/message.h"
#include "api/http/tls_server.h"

namespace skms::http {

class Connection {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `stop_fd` becomes readable when the transport stops. `tls` is nullptr for plain sockets.
  Connection(int fd, int stop_fd, const TlsServer* tls);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  /// TLS handshake (nothing to do on plain sockets); false: failed or too slow.
  bool Handshake(Time deadline);
  /// Waits for the first octet of a request. False: idle too long, closed, or with `stoppable` when stopping
  /// and nothing has arrived.
  bool WaitForRequest(Time deadline, bool stoppable);
  /// Octets read, 0 at the end, past the deadline, or with `stoppable` when stopping and nothing has arrived.
  std::size_t Read(char* out, std::size_t size, Time deadline, bool stoppable);
  bool WriteAll(std::string_view octets, Time deadline);
  /// Reads and forgets what the client still sends, so that it reads our answer instead of a reset.
  void Drain(std::size_t most_bytes, Time deadline);

  /// Who is at the other end, for RequestContext.
  void Describe(RequestContext& context) const;
  int fd() const { return fd_; }

 private:
  bool Wait(short events, Time deadline, bool stoppable) const;
  /// What an SSL call waits for; false when it failed for good.
  bool WaitForTls(int result, Time deadline, bool stoppable) const;

  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };
  const int fd_;
  const int stop_fd_;
  const bool secure_;  ///< TLS or nothing, also when no TLS object could be made
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
  bool shaken_ = false;
};

}  // namespace skms::http
