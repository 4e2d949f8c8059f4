// ProblemDetails: the one form of an error answer (RFC 9457, TS 29.122 5.2.6, causes of TS 29.500 5.2.7.2).
//
// Texts are fixed and safe for the peer: no detail of an Error ever goes into one, except on the admin
// socket.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "api/http/message.h"
#include "base/error.h"

namespace skms::http {

/// Which part of the request was wrong: a JSON pointer, or a query parameter or header by name.
struct InvalidParam {
  std::string param;
  std::string reason;
};

/// Extension members (RFC 9457 3.2): texts and numbers.
using ProblemMembers = std::vector<std::pair<std::string, std::variant<std::string, std::int64_t>>>;

struct ProblemDetails {
  int status = 500;
  std::string title;
  std::string detail;
  std::string cause;       ///< TS 29.500 table 5.2.7.2-1, e.g. "MANDATORY_QUERY_PARAM_MISSING"
  std::string error_code;  ///< "01" to "04" of TS 33.434 table 5.3.3-2; empty where it does not apply
  std::vector<InvalidParam> invalid_params;
  ProblemMembers members;
  /// Sent as headers: Retry-After (seconds), WWW-Authenticate, Allow. Empty or 0: not sent.
  int retry_after = 0;
  std::string www_authenticate;
  std::string allow;
};

ProblemDetails Problem(int status, std::string title, std::string detail,
                       std::string cause = "INVALID_MSG_FORMAT");

/// application/problem+json with Cache-Control: no-store.
Response ToResponse(const ProblemDetails& problem, std::string_view request_id);

/// The table Error code → status, title, cause. `error.detail` does not travel.
ProblemDetails ProblemFor(ErrorCode code);

}  // namespace skms::http
