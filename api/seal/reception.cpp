#include "api/seal/reception.h"

#include <atomic>
#include <optional>
#include <utility>

#include "api/http/negotiation.h"
#include "api/seal/seal_problem.h"
#include "base/clock.h"
#include "base/log.h"

namespace skms::seal {

using auth::AuthenticatedPrincipal;
using auth::Refusal;
using http::ProblemDetails;
using http::Request;
using http::RequestContext;
using http::Response;

Reception::Reception(ReceptionOptions options, SealDependencies dependencies)
    : options_(std::move(options)), root_(ParseApiRoot(options_.api_root)), dependencies_(dependencies) {}

std::variant<AuthenticatedPrincipal, Response> Reception::Admit(const Request& request,
                                                                const RequestContext& context) const {
  auto authenticated = dependencies_.authenticator.Authenticate(request, context, options_.scope);
  if (const auto* refusal = std::get_if<Refusal>(&authenticated)) {
    return Refuse(refusal->problem, refusal->actor, refusal->reason, context);
  }
  auto& principal = std::get<AuthenticatedPrincipal>(authenticated);
  if (const auto problem = Check(request)) return Refuse(*problem, principal.id, "request-invalid", context);
  return std::move(principal);
}

std::optional<ProblemDetails> Reception::Check(const Request& request) const {
  std::optional<ProblemDetails> problem = CheckTarget(request, root_);
  if (!problem)
    problem = CheckTimestamp(request, dependencies_.clock.NowMilliseconds(), options_.time_window_ms);
  if (!problem && !http::AcceptsJson(request))
    problem = http::Problem(406, "Not Acceptable", "answers are application/json", "");
  return problem;
}

Response Reception::ServeUe(const Request& request, const RequestContext& context,
                            const std::function<Response(const UeCall&)>& action) const {
  auto authenticated = dependencies_.authenticator.AuthenticateUe(request, context, options_.scope);
  if (const auto* refusal = std::get_if<Refusal>(&authenticated))
    return Refuse(refusal->problem, refusal->actor, refusal->reason, context);
  if (const auto problem = Check(request)) return Refuse(*problem, "ue", "request-invalid", context);
  return action({request, context, std::get<auth::AuthenticatedUe>(authenticated)});
}

Response Reception::Redirect(const keystore::Service& service, const Request& request) const {
  return SendTo(service.access.home, service.access.home_permanent, request);
}

Response Reception::RedirectUe(const keystore::Service& service, const Request& request) const {
  return SendTo(service.access.home_for_ues(), service.access.home_permanent, request);
}

Response Reception::SendTo(const std::string& root, bool permanent, const Request& request) const {
  const std::string query = request.query.empty() ? "" : "?" + request.query;
  Response response;
  response.status = permanent ? 308 : 307;
  response.headers.Set("Location", root + request.path.substr(root_.prefix.size()) + query);
  response.headers.Set("Cache-Control", "no-store");
  return response;
}

Response Reception::Serve(const Request& request, const RequestContext& context,
                          const http::PathValues& values,
                          const std::function<Response(const Call&)>& action) const {
  auto admitted = Admit(request, context);
  if (auto* answer = std::get_if<Response>(&admitted)) return std::move(*answer);
  return action({request, context, std::get<AuthenticatedPrincipal>(admitted), values});
}

Response Reception::Invalid(const ProblemDetails& problem, const Call& call) const {
  return Refuse(problem, call.principal.id, "request-invalid", call.context);
}

Response Reception::NotJson(const Call& call) const {
  return Invalid(http::Problem(415, "Unsupported Media Type", "the body must be application/json", ""), call);
}

Response Reception::Fail(const Error& error, const RequestContext& context) {
  return Fail(error, context, {});
}

Response Reception::Fail(const Error& error, const RequestContext& context, http::ProblemMembers members,
                         std::string_view unsupported) {
  ProblemDetails problem = WithSealErrorCode(http::ProblemFor(error.code));
  if (error.code == ErrorCode::kUnsupported && !unsupported.empty()) problem.detail = unsupported;
  problem.members = std::move(members);
  // A lost token or database is told when it is lost; each request that needed it would fill the log.
  static std::atomic<std::int64_t> told_lost{0};
  const std::int64_t now = SystemClock().NowSeconds();
  const bool lost = error.code == ErrorCode::kTokenUnavailable || error.code == ErrorCode::kStoreUnavailable;
  if (lost && told_lost.exchange(now) == now) return http::ToResponse(problem, context.request_id);
  if (problem.status >= 500) {
    LogError("request " + context.request_id + ": " + error.Describe());
  } else {
    LogInfo("request " + context.request_id + ": " + error.Describe());
  }
  return http::ToResponse(problem, context.request_id);
}

Response Reception::Refuse(const ProblemDetails& problem, const std::string& actor, const std::string& reason,
                           const RequestContext& context) const {
  // A principal over its rate is turned away before any decision about a key; writing each one to disk would
  // let it fill the disk.
  if (problem.status != 429) {
    const auto recorded =
        dependencies_.store.RecordRefusal({options_.action, actor, reason, context.request_id});
    if (recorded.has_error()) return Fail(recorded.error(), context);
  }
  // Nor shall the log grow as fast as anybody can ask: one a second tells enough.
  const std::int64_t now = dependencies_.clock.NowSeconds();
  if (problem.status == 429 && told_429_.exchange(now) == now)
    return http::ToResponse(WithSealErrorCode(problem), context.request_id);
  LogInfo("request " + context.request_id + ": refused " + actor + ": " + reason + " (" +
          std::to_string(problem.status) + ")");
  return http::ToResponse(WithSealErrorCode(problem), context.request_id);
}

keystore::Requester Call::by() const { return RequesterOf(principal, context); }

keystore::Requester RequesterOf(const AuthenticatedPrincipal& principal, const RequestContext& context) {
  return {.principal = keystore::PrincipalId(principal.id),
          .certificate_spki = principal.certificate_public_key,
          .request_id = context.request_id,
          .token_services = principal.services};
}

}  // namespace skms::seal
