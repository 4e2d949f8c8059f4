#include "api/http/problem_details.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace skms::http {
namespace {

struct Row {
  ErrorCode code;
  int status;
  const char* title;
  const char* detail;
  const char* cause;
  int retry_after;
};

// Causes of TS 29.500 table 5.2.7.2-1. What is not here is 500 SYSTEM_FAILURE.
constexpr Row kRows[] = {
    {ErrorCode::kInvalidArgument, 400, "Bad Request", "the request is malformed", "INVALID_MSG_FORMAT", 0},
    {ErrorCode::kUnauthenticated, 401, "Unauthorized", "credentials are missing or unusable", "", 0},
    {ErrorCode::kPermissionDenied, 403, "Forbidden", "not allowed for this requester", "", 0},
    {ErrorCode::kRoleMissing, 403, "Forbidden", "this needs a role that the administrator does not have", "",
     0},
    {ErrorCode::kRecipientUnusable, 403, "Forbidden",
     "the requester's key cannot be wrapped to: it is too weak, or EC where this server's token wraps to RSA "
     "and "
     "transport keys alone, as it does payloads; another must be enrolled, or sent",
     "", 0},
    {ErrorCode::kRecipientNotTrusted, 403, "Forbidden",
     "keys of this service are wrapped only to keys that its security officer trusts, and this is none; ask "
     "the administrator",
     "", 0},
    {ErrorCode::kNotFound, 404, "Not Found", "nothing here for this requester", "", 0},
    {ErrorCode::kAlreadyExists, 409, "Conflict", "it exists already", "", 0},
    {ErrorCode::kConflict, 409, "Conflict", "the present state does not allow it", "", 0},
    {ErrorCode::kChangedMeanwhile, 409, "Conflict", "another change came first; try again", "", 0},
    {ErrorCode::kPreconditionFailed, 412, "Precondition Failed",
     "it has changed since the entity tag in If-Match; read it again", "", 0},
    {ErrorCode::kPreconditionRequired, 428, "Precondition Required",
     "a change needs If-Match with the entity tag of what it changes", "", 0},
    {ErrorCode::kTooLarge, 413, "Content Too Large", "the body is larger than accepted", "", 0},
    {ErrorCode::kResourceExhausted, 503, "Service Unavailable", "too much to do just now", "NF_CONGESTION",
     1},
    {ErrorCode::kStoreUnavailable, 503, "Service Unavailable", "the database cannot be reached just now",
     "NF_CONGESTION", 2},
    {ErrorCode::kLocked, 503, "Service Unavailable", "the server waits for its administrator", "", 30},
    {ErrorCode::kPinIncorrect, 403, "Forbidden", "the token refused the PIN", "", 0},
    {ErrorCode::kTokenUnavailable, 503, "Service Unavailable", "the token cannot be reached just now",
     "NF_CONGESTION", 5},
    // Not 500: nothing failed, and trying again is of no use until the token is another.
    {ErrorCode::kUnsupported, 501, "Not Implemented", "this server's token cannot do what this needs", "", 0},
    {ErrorCode::kStorage, 500, "Internal Server Error", "the request could not be recorded",
     "INSUFFICIENT_RESOURCES", 0},
};

}  // namespace

ProblemDetails ProblemFor(ErrorCode code) {
  ProblemDetails problem;
  problem.title = "Internal Server Error";
  problem.detail = "an internal failure; the request id leads to the log";
  problem.cause = "SYSTEM_FAILURE";
  for (const Row& row : kRows) {
    if (row.code != code) continue;
    problem.status = row.status;
    problem.title = row.title;
    problem.detail = row.detail;
    problem.cause = row.cause;
    problem.retry_after = row.retry_after;
    if (row.status == 401) problem.www_authenticate = "Bearer realm=\"skms\"";
  }
  return problem;
}

ProblemDetails Problem(int status, std::string title, std::string detail, std::string cause) {
  ProblemDetails problem;
  problem.status = status;
  problem.title = std::move(title);
  problem.detail = std::move(detail);
  problem.cause = std::move(cause);
  return problem;
}

Response ToResponse(const ProblemDetails& problem, std::string_view request_id) {
  nlohmann::json body{{"status", problem.status}, {"title", problem.title}};
  if (!problem.detail.empty()) body["detail"] = problem.detail;
  if (!problem.cause.empty()) body["cause"] = problem.cause;
  if (!problem.error_code.empty()) body["errorCode"] = problem.error_code;
  if (!request_id.empty()) body["instance"] = "urn:request:" + std::string(request_id);
  for (const InvalidParam& invalid : problem.invalid_params) {
    body["invalidParams"].push_back({{"param", invalid.param}, {"reason", invalid.reason}});
  }
  for (const auto& member : problem.members)
    std::visit([&](const auto& plain) { body[member.first] = plain; }, member.second);
  Response response;
  response.status = problem.status;
  response.headers.Set("Content-Type", "application/problem+json");
  response.headers.Set("Cache-Control", "no-store");
  if (problem.retry_after > 0) response.headers.Set("Retry-After", std::to_string(problem.retry_after));
  if (!problem.www_authenticate.empty()) response.headers.Set("WWW-Authenticate", problem.www_authenticate);
  if (!problem.allow.empty()) response.headers.Set("Allow", problem.allow);
  // Texts are ours, but a path or id within one may hold any octets.
  response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return response;
}

}  // namespace skms::http
