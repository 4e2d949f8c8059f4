// Transport: a listener that turns connections into calls of Api::Handle. Two kinds here, both on
// cpp-httplib: `direct` (mutual TLS 1.2/1.3 on TCP) and `unix` (the admin socket, the edge's and a proxy's,
// peers known by SO_PEERCRED).
//
// Made by Create…, started by Start, ended by Stop, which lets requests in flight finish and is idempotent.
// Start and Stop are called by one owner thread; the Api must outlive the transport.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "api/http/router.h"
#include "base/result.h"

namespace skms::http {

/// A listening socket that is there already takes the place of one of our own. It is the transport's from
/// Create… on, closed at its end, and its file, if it has one, left.
struct DirectOptions {
  std::string address = "127.0.0.1";
  int port = 8443;  ///< 0: any free port, see port()
  std::string certificate_path;
  std::string private_key_path;
  std::string client_ca_path;  ///< PEM bundle that client certificates are verified against
  /// PEM bundle with a CRL of each CA in it; empty: revocation is not looked at. Read once.
  std::string crl_path;
  /// False: a client may come without a certificate; one that it shows is verified all the same. Without a CA
  /// none is asked for.
  bool client_certificate_required = true;
  std::string section = "listen";                 ///< of the configuration, named in errors
  std::size_t max_connections = 64;               ///< threads; the next connection waits, then is closed
  std::chrono::milliseconds keep_alive{2000};     ///< idle time before a kept connection is closed
  std::chrono::milliseconds request_time{10000};  ///< from first byte of a request to its last
  /// From its last byte to the answer; then 503 in place of a handler that hangs. Zero: no limit.
  std::chrono::milliseconds answer_time{0};
  std::optional<int> inherited{};
};

struct UnixOptions {
  std::string path;
  unsigned mode = 0600;
  std::optional<gid_t> group;  ///< the socket file's group; nullopt: the process's own
  std::size_t max_connections = 8;
  /// kAdmin, or one whose word about its clients counts: kEdge, kAssertingProxy.
  TransportKind kind = TransportKind::kAdmin;
  std::optional<uid_t>
      peer{};  ///< processes of this user alone; others are closed before a word. nullopt: all
  std::chrono::milliseconds keep_alive{2000};
  std::chrono::milliseconds request_time{10000};
  std::chrono::milliseconds answer_time{0};
  std::optional<int> inherited{};
};

class Transport {
 public:
  virtual ~Transport() = default;
  /// Begins to accept on threads of its own. Errors: kIo (the address is in use, …).
  virtual Status Start() = 0;
  /// No new connections; requests in flight finish; idle connections close. Returns when all threads have
  /// ended.
  virtual void Stop() = 0;
  /// False when the listener ended without Stop; it serves nothing any more.
  virtual bool running() const = 0;
  /// The TCP port in use, 0 for unix sockets.
  virtual int port() const = 0;
};

/// Errors: kConfiguration (certificate, key or CA file unusable; the detail names it), kIo (cannot bind).
Result<std::unique_ptr<Transport>> CreateDirectTransport(const DirectOptions& options, Api& api);
/// A stale socket file of ours is replaced; a live one is kIo "another skmsd is running".
Result<std::unique_ptr<Transport>> CreateUnixTransport(const UnixOptions& options, Api& api);

}  // namespace skms::http
