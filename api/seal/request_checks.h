// The two checks of TS 29.549 5.7.1.2.2.2 that no field of the API carries: the request is for this server,
// and it is recent. Carriers: the Host header against our apiRoot, and Nb-Api-Sender-Timestamp
// (TS 29.122 5.2.8.3) where sent.
//
// Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/http/message.h"
#include "api/http/problem_details.h"

namespace skms::seal {

/// Authority ("host:port", lower case, default port added) and path prefix of "https://host[:port][/prefix]".
struct ApiRoot {
  std::string uri;
  std::string authority;
  std::string prefix;  ///< "" or "/prefix"
};
ApiRoot ParseApiRoot(const std::string& uri);

/// nullopt: for us. Otherwise 400 with ErrorCode 04: the client talks to another server's name.
std::optional<http::ProblemDetails> CheckTarget(const http::Request& request, const ApiRoot& root);

/// Do both name the same server, whatever the case of the host and the form of the port?
bool SameRoot(const std::string& uri, const ApiRoot& root);

/// nullopt: absent or inside ±`window_ms` of `now_ms`. Otherwise 400 (unreadable, doubled) or 403 (too old or
/// in the future: perhaps a replay), both ErrorCode 04.
std::optional<http::ProblemDetails> CheckTimestamp(const http::Request& request, std::int64_t now_ms,
                                                   std::int64_t window_ms);

}  // namespace skms::seal
