#include "api/seal/request_checks.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <utility>

#include "api/seal/seal_problem.h"

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

/// Reads exactly `digits` decimal digits at the front of `text` and the separator after them.
bool TakeNumber(std::string_view& text, std::size_t digits, std::string_view separator, int& out) {
  if (text.size() < digits + separator.size()) return false;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
  }
  std::from_chars(text.data(), text.data() + digits, out);
  text.remove_prefix(digits);
  if (!separator.empty() && text.substr(0, separator.size()) != separator) return false;
  text.remove_prefix(separator.size());
  return true;
}

/// "Z" or "+hh:mm": minutes east of UTC.
std::optional<int> TakeOffset(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.empty() || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const int sign = text[0] == '+' ? 1 : -1;
  text.remove_prefix(1);
  int hours = 0;
  int minutes = 0;
  if (!TakeNumber(text, 2, ":", hours) || !TakeNumber(text, 2, "", minutes) || !text.empty())
    return std::nullopt;
  if (hours > 23 || minutes > 59) return std::nullopt;
  return sign * (hours * 60 + minutes);
}

/// Fraction of a second after the dot, in milliseconds; advances `text` past it.
std::optional<int> TakeFraction(std::string_view& text) {
  if (text.empty() || text[0] != '.') return 0;
  text.remove_prefix(1);
  int milliseconds = 0;
  int scale = 100;
  std::size_t digits = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    milliseconds += (text[0] - '0') * scale;
    scale /= 10;
    ++digits;
    text.remove_prefix(1);
  }
  if (digits == 0 || digits > 9) return std::nullopt;
  return milliseconds;
}

}  // namespace

ApiRoot ParseApiRoot(const std::string& uri) {
  constexpr std::size_t kSchemeBytes = 8;  // "https://", checked by the configuration
  const std::size_t slash = uri.find('/', kSchemeBytes);
  const std::string authority =
      uri.substr(kSchemeBytes, slash == std::string::npos ? slash : slash - kSchemeBytes);
  return {uri, NormalAuthority(authority), slash == std::string::npos ? "" : uri.substr(slash)};
}

std::optional<http::ProblemDetails> CheckTarget(const http::Request& request, const ApiRoot& root) {
  const std::string* host = request.headers.Find("Host");
  if (host != nullptr && NormalAuthority(*host) == root.authority) return std::nullopt;
  return BadParameter("INVALID_MSG_FORMAT", "Host",
                      "does not name this key management server; use " + root.uri);
}

std::optional<std::int64_t> ParseDateTime(std::string_view text) {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (!TakeNumber(text, 4, "-", year) || !TakeNumber(text, 2, "-", month) || !TakeNumber(text, 2, "T", day) ||
      !TakeNumber(text, 2, ":", hour) || !TakeNumber(text, 2, ":", minute) ||
      !TakeNumber(text, 2, "", second)) {
    return std::nullopt;
  }
  const std::optional<int> fraction = TakeFraction(text);
  if (!fraction) return std::nullopt;
  const std::optional<int> offset = TakeOffset(text);
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!offset || !date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + hour) * 60 + minute - *offset) * 60 + second;
  return seconds * 1000 + *fraction;
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
