#include "api/admin/admin_call.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"

namespace skms::admin {

using http::Response;
using nlohmann::json;

keystore::Requester Call::by() const {
  return {keystore::PrincipalId("admin:" + std::to_string(context.credentials->uid)),
          {},
          context.request_id,
          true};
}

Response JsonResponse(int status, const json& body) {
  Response response;
  response.status = status;
  response.headers.Set("Content-Type", "application/json");
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return response;
}

Response MetricsResponse(std::string text) {
  Response response;
  response.headers.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  response.body = std::move(text);
  return response;
}

Response Failed(const Error& error, const Call& call) {
  http::ProblemDetails problem = http::ProblemFor(error.code);
  if (!error.detail.empty()) problem.detail = error.detail;
  problem.cause = Name(error.code);
  problem.invalid_params = call.invalid;
  if (problem.status >= 500) LogError("request " + call.context.request_id + ": " + error.Describe());
  return http::ToResponse(problem, call.context.request_id);
}

Response NoContent(const Status& done, const Call& call) {
  if (done.has_error()) return Failed(done.error(), call);
  Response response;
  response.status = 204;
  return response;
}

Response NotAnAdministrator(const Call& call) {
  http::ProblemDetails problem = http::ProblemFor(ErrorCode::kPermissionDenied);
  problem.detail = "only root, the daemon's user and members of admin.group may do this";
  problem.cause = "not-an-administrator";
  return http::ToResponse(problem, call.context.request_id);
}

Response Answer(const Result<json>& answer, const Call& call) {
  return answer.has_error() ? Failed(answer.error(), call) : JsonResponse(200, answer.value());
}

}  // namespace skms::admin
