// The octets before a request's body, and the fields that are read out of them.
#include "api/http/request_head.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "api/http/negotiation.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

constexpr std::array kStatuses = {400, 411, 413, 414, 415, 431, 501, 505};
constexpr std::size_t kMostBody = 65536;

void CheckProblem(const http::ProblemDetails& problem) {
  Require(std::find(kStatuses.begin(), kStatuses.end(), problem.status) != kStatuses.end(),
          "a refused head has one of its statuses", std::to_string(problem.status));
  Require(!problem.title.empty() && !problem.detail.empty(), "a refusal says why", problem.detail);
}

/// What cpp-httplib will be given, read as its grammar says: lines, each "name: value".
http::Request Read(const http::RequestHead& head) {
  std::string_view rest = head.for_httplib;
  Require(rest.size() >= 4 && rest.substr(rest.size() - 4) == "\r\n\r\n", "a head ends with an empty line",
          rest);
  http::Request request;
  bool first = true;
  while (rest != "\r\n") {
    const std::size_t end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 2);
    Require(!line.empty(), "no empty line stands within a head", head.for_httplib);
    Require(line.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos,
            "no line hides in another", line);
    if (first) {
      Require(line == head.method + " " + head.target + " " + head.version,
              "the request line is the one told", line);
    } else {
      const std::size_t colon = line.find(':');
      Require(colon != std::string_view::npos && colon > 0, "a field has a name", line);
      Require(line.find_first_of(" \t") > colon, "no blank stands in a field's name", line);
      request.headers.Add(std::string(line.substr(0, colon)), std::string(line.substr(colon + 1)));
    }
    first = false;
  }
  request.method = head.method;
  return request;
}

void CheckAccepted(const http::RequestHead& head) {
  Require(head.body_bytes <= kMostBody, "no body is larger than accepted", std::to_string(head.body_bytes));
  Require(
      head.target.front() == '/' && head.target.find(' ') == std::string::npos && !HasControl(head.target),
      "a target is a path", head.target);
  const http::Request request = Read(head);
  Require(request.headers.Count("Host") == 1 || head.version == "HTTP/1.0", "a request has one Host",
          head.for_httplib);
  for (const char* name : {"Transfer-Encoding", "Content-Length", "Content-Encoding", "Expect", "Range"})
    Require(request.headers.Count(name) == 0, "nothing else frames the body", name);
  // Total functions: they answer whatever the fields hold.
  http::AcceptsJson(request);
  http::HasJsonBody(request);
  http::HasEntity(request, "\"1\"");

  http::RequestHead again;
  std::string octets = head.for_httplib;
  const bool has_body = head.method == "POST" || head.method == "PUT" || head.method == "PATCH";
  if (has_body)
    octets.insert(octets.size() - 2, "Content-Length: " + std::to_string(head.body_bytes) + "\r\n");
  http::Limits limits;
  ++limits.max_header_fields;
  Require(!http::CheckHead(octets, limits, again), "what was accepted is accepted again", octets);
  Require(again.for_httplib == head.for_httplib && again.body_bytes == (has_body ? head.body_bytes : 0),
          "and reads the same", octets);
}

/// Lines of the head as it was sent that begin with `name` and a colon, whatever their case.
std::size_t CountSent(std::string_view head, std::string_view name) {
  std::size_t count = 0;
  for (std::string_view line : SplitAt(head.substr(0, head.find("\r\n\r\n")), '\n')) {
    const std::string_view field = TakeUntil(line, ':');
    const bool same = std::equal(field.begin(), field.end(), name.begin(), name.end(),
                                 [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
    count += same ? 1U : 0U;
  }
  return count;
}

void CheckRequestHead(std::string_view input) {
  CheckProblem(http::OversizeProblem(input));
  http::RequestHead head;
  if (const auto problem = http::CheckHead(input, http::Limits{}, head)) {
    CheckProblem(*problem);
    return;
  }
  Require(CountSent(input, "content-length") <= 1 && CountSent(input, "transfer-encoding") == 0,
          "a body has one length", input);
  CheckAccepted(head);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(request_head, skms::fuzz::CheckRequestHead)
