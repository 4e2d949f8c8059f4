#include "api/http/final_answer.h"

namespace skms::http {

std::string FinalAnswer(const Response& response, const std::string& reason) {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " " + reason + "\r\n";
  for (const auto& [name, value] : response.headers.fields())
    text.append(name).append(": ").append(value).append("\r\n");
  // RFC 9110 8.6: of a 304 it would tell the length of the 200.
  if (response.status != 304)
    text.append("Content-Length: ").append(std::to_string(response.body.size())).append("\r\n");
  return text.append("Connection: close\r\n\r\n").append(response.body);
}

std::string FinalAnswer(const ProblemDetails& problem, const std::string& request_id) {
  Response response = ToResponse(problem, request_id);
  if (!request_id.empty()) response.headers.Set("X-Request-Id", request_id);
  return FinalAnswer(response, problem.title);
}

}  // namespace skms::http
