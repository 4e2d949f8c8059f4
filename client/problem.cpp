#include "client/problem.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "client/json_text.h"

namespace skms::client {
namespace {

using nlohmann::json;

ErrorCode CodeOf(long status) {
  switch (status) {
    case 307:
    case 308:
      return ErrorCode::kConflict;
    case 400:
      return ErrorCode::kInvalidArgument;
    case 401:
      return ErrorCode::kUnauthenticated;
    case 403:
      return ErrorCode::kPermissionDenied;
    case 404:
      return ErrorCode::kNotFound;
    case 413:
      return ErrorCode::kTooLarge;
    case 429:
    case 503:
      return ErrorCode::kResourceExhausted;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

Problem ReadProblem(const HttpAnswer& answer) {
  Problem problem;
  problem.status = answer.status;
  if (const auto location = answer.headers.find("location"); location != answer.headers.end())
    problem.location = location->second;
  if (const auto after = answer.headers.find("retry-after"); after != answer.headers.end()) {
    const std::string& text = after->second;
    std::from_chars(text.data(), text.data() + text.size(), problem.retry_after_s);
  }
  const json body = ParseJson(answer.body);
  if (!body.is_object()) return problem;
  problem.title = Text(body, "title");
  problem.detail = Text(body, "detail");
  problem.cause = Text(body, "cause");
  problem.error_code = Text(body, "errorCode");
  problem.instance = Text(body, "instance");
  const auto invalid = body.find("invalidParams");
  if (invalid == body.end() || !invalid->is_array()) return problem;
  for (const json& entry : *invalid)
    problem.invalid_params.push_back({Text(entry, "param"), Text(entry, "reason")});
  return problem;
}

std::string Describe(const Problem& problem) {
  std::string text = problem.title;
  if (!problem.detail.empty()) text += ": " + problem.detail;
  if (!problem.cause.empty()) text += " (" + problem.cause + ")";
  if (!problem.instance.empty()) text += " [" + problem.instance + "]";
  for (const Problem::Parameter& parameter : problem.invalid_params)
    text += "; " + parameter.param + ": " + parameter.reason;
  if (!problem.location.empty())
    text += (text.empty() ? "it is served by " : "; it is served by ") + problem.location;
  return text.empty() ? "no reason given" : text;
}

Error ErrorOf(const Problem& problem) {
  return {CodeOf(problem.status),
          "the server answered " + std::to_string(problem.status) + ": " + Describe(problem)};
}

}  // namespace skms::client
