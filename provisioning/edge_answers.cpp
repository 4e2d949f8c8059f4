#include "provisioning/edge_answers.h"

namespace skms::provisioning {
namespace {

struct ErrorRow {
  const char* title;
  const char* detail;
  const char* cause;
  int status;
  int retry_after;
};

// What HAProxy says by itself; the rest is the daemon's.
constexpr ErrorRow kErrors[] = {
    {"Bad Request", "the request is malformed", "INVALID_MSG_FORMAT", 400, 0},
    {"Request Timeout", "the request took too long to arrive", "", 408, 0},
    {"Too Many Requests", "over the rate for this address", "NF_CONGESTION_RISK", 429, 1},
    {"Internal Server Error", "the edge failed", "SYSTEM_FAILURE", 500, 0},
    {"Bad Gateway", "the server behind the edge broke off; whether it did what was asked is not known", "",
     502, 0},
    {"Service Unavailable", "too many requests are at work, or the server is being restarted",
     "NF_CONGESTION", 503, 1},
    {"Gateway Timeout", "the server behind the edge gave no answer in time", "", 504, 1},
};

std::string ErrorFile(int status) { return std::to_string(status) + ".http"; }

/// Whole answers in files: the only form that HAProxy uses for a request that it cannot read, too. (2.6 has a
/// page of its own for these: haproxy/haproxy#3032.)
std::string ErrorText(const ErrorRow& row) {
  const std::string body = EdgeProblem(row.status, row.title, row.detail, row.cause);
  std::string text =
      "HTTP/1.1 " + std::to_string(row.status) + " " + row.title +
      "\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n";
  if (row.retry_after > 0) text += "Retry-After: " + std::to_string(row.retry_after) + "\r\n";
  return text + "Connection: close\r\n\r\n" + body;
}

constexpr const char* kLua =
    R"(-- Refuses a request for its body only when the body has come (or enough of it): a client that is still
-- writing when the connection is closed sees a reset, and never reads why.
local most_octets = 8388608
local most_seconds = 10


core.register_service("answer_after_body", "http", function(applet)
  local status = tonumber(applet:get_var("txn.refused"))
  local began = core.now().sec
  local octets = 0
  while octets < most_octets and core.now().sec - began < most_seconds do
    local chunk = applet:receive(512)
    if chunk == nil or #chunk == 0 then break end
    octets = octets + #chunk
  end
  local body = problems[status]
  applet:set_status(status)
  applet:add_header("Content-Type", "application/problem+json")
  applet:add_header("Content-Length", tostring(#body))
  applet:add_header("Cache-Control", "no-store")
  applet:add_header("X-Request-Id", applet:get_var("txn.id"))
  applet:start_response()
  if applet.method ~= "HEAD" then applet:send(body) end
end)
)";

std::string LuaText() {
  const auto entry = [](int status, const std::string& problem) {
    return "  [" + std::to_string(status) + "] = '" + problem + "',\n";
  };
  return "local problems = {\n" +
         entry(411,
               EdgeProblem(411, "Length Required", "a body needs a Content-Length", "INCORRECT_LENGTH")) +
         entry(413, EdgeProblem(413, "Content Too Large", "the body is larger than accepted")) + "}\n" + kLua;
}

}  // namespace

std::string EdgeProblem(int status, const std::string& title, const std::string& detail, const char* cause) {
  std::string text =
      "{\"status\":" + std::to_string(status) + ",\"title\":\"" + title + "\",\"detail\":\"" + detail + "\"";
  if (*cause != '\0') text += std::string(",\"cause\":\"") + cause + "\"";
  return text + "}";
}

std::string EdgeErrorLines() {
  std::string lines;
  for (const ErrorRow& row : kErrors)
    lines += "    errorfile " + std::to_string(row.status) + " " + ErrorFile(row.status) + "\n";
  return lines;
}

std::vector<std::pair<std::string, std::string>> EdgeAnswerFiles() {
  std::vector<std::pair<std::string, std::string>> files;
  for (const ErrorRow& row : kErrors) files.emplace_back(ErrorFile(row.status), ErrorText(row));
  files.emplace_back("answer_after_body.lua", LuaText());
  return files;
}

}  // namespace skms::provisioning
