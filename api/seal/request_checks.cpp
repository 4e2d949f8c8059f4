#include "api/seal/request_checks.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "api/seal/seal_problem.h"
#include "base/api_root.h"
#include "base/date_time.h"

namespace skms::seal {
namespace {

constexpr const char* kTimestampHeader = "Nb-Api-Sender-Timestamp";

std::string NormalAuthority(std::string_view authority) {
  std::string text(authority);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.rfind(':');
  const bool has_port = colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  return has_port ? text : text + ":443";
}

}  // namespace

ApiRoot ParseApiRoot(const std::string& uri) {
  ApiRootParts parts = SplitApiRoot(uri);  // its form was checked by the configuration
  return {uri, NormalAuthority(parts.authority), std::move(parts.prefix)};
}

std::optional<http::ProblemDetails> CheckTarget(const http::Request& request, const ApiRoot& root) {
  const std::string* host = request.headers.Find("Host");
  if (host != nullptr && NormalAuthority(*host) == root.authority) return std::nullopt;
  return BadParameter("INVALID_MSG_FORMAT", "Host",
                      "does not name this key management server; use " + root.uri);
}

bool SameRoot(const std::string& uri, const ApiRoot& root) {
  constexpr std::string_view kScheme = "https://";
  if (uri.rfind(kScheme, 0) != 0 || uri.size() == kScheme.size()) return false;
  const ApiRoot other = ParseApiRoot(uri.back() == '/' ? uri.substr(0, uri.size() - 1) : uri);
  return other.authority == root.authority && other.prefix == root.prefix;
}

std::optional<http::ProblemDetails> CheckTimestamp(const http::Request& request, std::int64_t now_ms,
                                                   std::int64_t window_ms) {
  const std::string* value = request.headers.Find(kTimestampHeader);
  if (value == nullptr) return std::nullopt;
  if (request.headers.Count(kTimestampHeader) > 1) {
    return BadParameter("INVALID_MSG_FORMAT", kTimestampHeader, "stands more than once");
  }
  const std::optional<std::int64_t> sent = ParseDateTime(*value);
  if (!sent) return BadParameter("INVALID_MSG_FORMAT", kTimestampHeader, "is not an RFC 3339 date-time");
  if (*sent >= now_ms - window_ms && *sent <= now_ms + window_ms) return std::nullopt;
  http::ProblemDetails problem = BadParameter("", kTimestampHeader, "is outside the accepted time window");
  problem.status = 403;
  problem.title = "Forbidden";
  return problem;
}

}  // namespace skms::seal
