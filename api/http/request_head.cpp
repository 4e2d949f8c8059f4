#include "api/http/request_head.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "api/http/field_text.h"

namespace skms::http {
namespace {

constexpr std::size_t kMaxLineBytes = 8000;

ProblemDetails Bad(std::string detail) { return Problem(400, "Bad Request", std::move(detail)); }

bool IsTokenCharacter(char c) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kOthers.find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenCharacter);
}

bool IsVisible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

/// The text up to CRLF, taken off the front; nullopt on a bare CR or LF.
std::optional<std::string_view> TakeLine(std::string_view& octets) {
  const std::size_t end = octets.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = octets.substr(0, end);
  octets.remove_prefix(end + 2);
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) return std::nullopt;
  return line;
}

bool IsKnownMethod(std::string_view method) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
  return std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
}

std::optional<ProblemDetails> CheckRequestLine(std::string_view line, const Limits& limits,
                                               RequestHead& head) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Bad("the request line is malformed");
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  head.version = line.substr(last + 1);
  if (head.target.size() > limits.max_target_bytes) {
    return Problem(414, "URI Too Long", "the path and query are longer than accepted", "");
  }
  if (!IsToken(head.method) || head.target.empty() || head.target[0] != '/' || !IsVisible(head.target)) {
    return Bad("the request line is malformed");
  }
  if (!IsKnownMethod(head.method))
    return Problem(501, "Not Implemented", "this method is not known here", "");
  if (head.version != "HTTP/1.1" && head.version != "HTTP/1.0") {
    return Problem(505, "HTTP Version Not Supported", "HTTP/1.1 is served here", "");
  }
  return std::nullopt;
}

/// What the framing fields said so far.
struct Framing {
  std::size_t hosts = 0;
  std::optional<std::string> length;
  bool transfer_encoding = false;
};

std::optional<ProblemDetails> TakeField(std::string_view line, Framing& framing, RequestHead& head) {
  // cpp-httplib itself refuses longer lines, in its own words.
  if (line.size() > kMaxLineBytes)
    return Problem(431, "Request Header Fields Too Large", "a header field is too long", "");
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return Bad("a header field is malformed");  // also folded lines and a blank before the colon
  }
  const std::string name = LowerCase(line.substr(0, colon));
  const std::string_view value = Trim(line.substr(colon + 1));
  if (name == "host") ++framing.hosts;
  if (name == "transfer-encoding") framing.transfer_encoding = true;
  if (name == "content-encoding") {
    return Problem(415, "Unsupported Media Type", "an encoded body is not accepted", "");
  }
  if (name == "content-length") {
    if (framing.length) return Bad("Content-Length stands more than once");
    framing.length = std::string(value);
  }
  if (name == "expect") {
    if (LowerCase(value) != "100-continue") return Bad("an expectation that is not understood");
    head.expects_continue = true;
  }
  if (name != "range" && name != "accept-encoding" && name != "content-length" && name != "expect") {
    head.for_httplib.append(line).append("\r\n");
  }
  return std::nullopt;
}

bool MayHaveBody(const std::string& method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

std::optional<ProblemDetails> CheckFraming(const Framing& framing, std::size_t most, RequestHead& head) {
  if (framing.hosts != 1 && !(head.version == "HTTP/1.0" && framing.hosts == 0)) {
    return Bad("a request has exactly one Host field");
  }
  if (framing.transfer_encoding && framing.length)
    return Bad("Content-Length and Transfer-Encoding exclude each other");
  if (framing.transfer_encoding || (MayHaveBody(head.method) && !framing.length)) {
    return Problem(411, "Length Required", "a body needs a Content-Length", "INCORRECT_LENGTH");
  }
  if (!framing.length) return std::nullopt;
  const std::string& digits = *framing.length;
  const bool decimal = !digits.empty() &&
                       std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!decimal) return Bad("Content-Length is not a number");
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), head.body_bytes);
  if (head.body_bytes > 0 && !MayHaveBody(head.method))
    return Bad("a " + head.method + " request has no body");
  if (code != std::errc{} || head.body_bytes > most) {
    return Problem(413, "Content Too Large", "the body is larger than accepted", "");
  }
  return std::nullopt;
}

}  // namespace

std::optional<ProblemDetails> CheckHead(std::string_view octets, const Limits& limits, RequestHead& head,
                                        const BodyLimit& body_limit) {
  const std::optional<std::string_view> request_line = TakeLine(octets);
  if (!request_line) return Bad("the request line is malformed");
  if (auto problem = CheckRequestLine(*request_line, limits, head)) return problem;
  head.for_httplib.assign(*request_line).append("\r\n");
  Framing framing;
  std::size_t fields = 0;
  for (;;) {
    const std::optional<std::string_view> line = TakeLine(octets);
    if (!line) return Bad("a header field is malformed");
    if (line->empty()) break;
    if (++fields > limits.max_header_fields) {
      return Problem(431, "Request Header Fields Too Large", "more header fields than accepted", "");
    }
    if (auto problem = TakeField(*line, framing, head)) return problem;
  }
  head.for_httplib.append("\r\n");
  const std::string_view path = std::string_view{head.target}.substr(0, head.target.find('?'));
  return CheckFraming(framing, body_limit ? body_limit(head.method, path) : limits.max_body_bytes, head);
}

ProblemDetails OversizeProblem(std::string_view octets) {
  if (octets.find('\n') == std::string_view::npos) {
    return Problem(414, "URI Too Long", "the path and query are longer than accepted", "");
  }
  return Problem(431, "Request Header Fields Too Large", "more header fields than accepted", "");
}

}  // namespace skms::http
