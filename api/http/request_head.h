// RequestHead: the octets before a request's body, checked before cpp-httplib sees them.
//
// cpp-httplib 0.11 lets through what two parties may read differently (two lengths, length and chunking,
// folded lines, blanks before a colon, several Hosts): each is refused here (RFC 9112 3, 5, 6). Pure;
// thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "api/http/problem_details.h"
#include "api/http/router.h"

namespace skms::http {

struct RequestHead {
  std::string method;
  std::string target;   ///< as sent: path and query
  std::string version;  ///< "HTTP/1.1" or "HTTP/1.0"
  std::size_t body_bytes = 0;
  bool expects_continue = false;
  /// The head without the fields that only cpp-httplib would act on (Range, Accept-Encoding, Content-Length,
  /// Expect).
  std::string for_httplib;
};

/// The largest body that a resource takes, by method and path.
using BodyLimit = std::function<std::size_t(std::string_view method, std::string_view path)>;

/// Checks a whole head, "\r\n\r\n" included. Returns the problem to answer before closing: 400, 411, 413,
/// 414, 415, 431, 505. Without `body_limit`, `limits.max_body_bytes` holds for every resource.
std::optional<ProblemDetails> CheckHead(std::string_view octets, const Limits& limits, RequestHead& head,
                                        const BodyLimit& body_limit = nullptr);

/// For a head that outgrew its limit before its end was seen: 414 while still in the first line, else 431.
ProblemDetails OversizeProblem(std::string_view octets);

}  // namespace skms::http
