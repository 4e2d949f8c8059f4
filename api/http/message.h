// Request, Response and RequestContext: what a handler sees of HTTP, the same on every transport.
//
// Values owned by the transport's worker for the time of one request; not shared between threads.
// TS 29.122 5.2 (HTTP use of the northbound APIs), RFC 9110.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace skms::http {

/// Header fields in order of arrival; names compare without case.
class Headers {
 public:
  void Add(std::string name, std::string value);
  /// Replaces every field of that name.
  void Set(std::string_view name, std::string value);
  void Remove(std::string_view name);
  /// First value, or nullptr.
  const std::string* Find(std::string_view name) const;
  std::size_t Count(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct Request {
  std::string method;  ///< upper case, as sent
  std::string path;    ///< as sent, still percent-encoded, without the query
  std::string query;   ///< as sent, without "?"; decode with ParseQuery
  Headers headers;
  std::string body;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

enum class TransportKind {
  kDirectTls,
  kEdge,            ///< this host's TLS terminator: it says which certificate a client has shown (RFC 9440)
  kAssertingProxy,  ///< a proxy that has authenticated UEs itself, and says who they are (TS 24.547 A.2.3)
  kAdmin,
  kInMemory
};

/// The client certificate of a mutual-TLS connection; the chain was verified by the transport or the edge.
struct PeerCertificate {
  Bytes der;
};

/// SO_PEERCRED of a unix-socket peer.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct RequestContext {
  TransportKind transport = TransportKind::kInMemory;
  std::optional<PeerCertificate> certificate;
  std::optional<PeerCredentials> credentials;
  std::string peer_address;  ///< for the log: "127.0.0.1" or "unix"
  std::string tls_version;   ///< "TLSv1.3", empty on unix sockets
  std::string request_id;    ///< 16 hex digits, ours or the edge's, never the client's
  std::chrono::steady_clock::time_point deadline{};
  /// Status of what went out in the place of this handler's answer, which is late; 0: nothing did. Written by
  /// another thread.
  std::shared_ptr<std::atomic<int>> sent_instead{};
  bool second_run = false;  ///< of a request whose first one hangs, and has a place among the concurrent ones
};

}  // namespace skms::http
