#include "api/seal/km_s.h"

#include <spdlog/spdlog.h>

#include <optional>
#include <utility>
#include <variant>

#include "api/http/negotiation.h"
#include "api/seal/key_info.h"
#include "api/seal/request_checks.h"
#include "api/seal/seal_problem.h"
#include "api/seal/val_target.h"

namespace skms::seal {
namespace {

using auth::AuthenticatedPrincipal;
using auth::Refusal;
using http::ProblemDetails;
using http::Request;
using http::RequestContext;
using http::Response;

/// The KeyRecords collection resource.
class KeyRecords {
 public:
  KeyRecords(KmSOptions options, KmSDependencies dependencies)
      : options_(std::move(options)), root_(ParseApiRoot(options_.api_root)), dependencies_(dependencies) {}

  std::string path() const { return root_.prefix + "/ss-kir/v1/key-records"; }

  Response Get(const Request& request, const RequestContext& context) {
    auto authenticated = dependencies_.authenticator.Authenticate(request, context, options_.scope);
    if (const auto* refusal = std::get_if<Refusal>(&authenticated)) {
      return Refuse(refusal->problem, refusal->actor, refusal->reason, context);
    }
    const auto& principal = std::get<AuthenticatedPrincipal>(authenticated);
    if (const auto problem = Check(request))
      return Refuse(*problem, principal.id, "request-invalid", context);

    auto decoded = DecodeSelector(request.query);
    if (const auto* problem = std::get_if<ProblemDetails>(&decoded)) {
      return Refuse(*problem, principal.id, "request-invalid", context);
    }
    return Answer(request, context, principal, std::get<keystore::Selector>(decoded));
  }

 private:
  std::optional<ProblemDetails> Check(const Request& request) const {
    if (auto problem = CheckTarget(request, root_)) return problem;
    if (auto problem =
            CheckTimestamp(request, dependencies_.clock.NowMilliseconds(), options_.time_window_ms)) {
      return problem;
    }
    if (!http::AcceptsJson(request)) {
      return http::Problem(406, "Not Acceptable", "answers are application/json", "");
    }
    return std::nullopt;
  }

  Response Answer(const Request& request, const RequestContext& context,
                  const AuthenticatedPrincipal& principal, const keystore::Selector& selector) {
    const keystore::Requester requester{keystore::PrincipalId(principal.id), principal.certificate_public_key,
                                        context.request_id};
    // KeyStore has written the audit entry of its own decision, whichever it was.
    const auto answer = dependencies_.store.Deliver(requester, selector);
    if (answer.has_error()) return Failed(answer.error(), context);

    Response response;
    const std::string tag = EntityTag(answer.value());
    response.headers.Set("ETag", tag);
    const std::string* known = request.headers.Find("If-None-Match");
    if (known != nullptr && known->find(tag) != std::string::npos) {
      response.status = 304;
      return response;
    }
    const AnswerFrame frame{options_.skms_id, options_.api_root, dependencies_.clock.NowSeconds()};
    auto body = EncodeValKeyInfo(selector, answer.value(), frame);
    if (body.has_error()) return Failed(body.error(), context);
    response.headers.Set("Content-Type", "application/json");
    response.body = std::move(body).value();
    return response;
  }

  static Response Failed(const Error& error, const RequestContext& context) {
    const ProblemDetails problem = WithSealErrorCode(http::ProblemFor(error.code));
    if (problem.status >= 500) {
      spdlog::error("request {}: {}", context.request_id, error.Describe());
    } else {
      spdlog::info("request {}: {}", context.request_id, error.Describe());
    }
    return http::ToResponse(problem, context.request_id);
  }

  Response Refuse(const ProblemDetails& problem, const std::string& actor, const std::string& reason,
                  const RequestContext& context) {
    // A principal over its rate is turned away before any decision about a key; writing each one to disk
    // would let it fill the disk.
    if (problem.status != 429) {
      const auto recorded = dependencies_.store.RecordRefusal({"deliver", actor, reason, context.request_id});
      if (recorded.has_error()) return Failed(recorded.error(), context);
    }
    spdlog::info("request {}: refused {}: {} ({})", context.request_id, actor, reason, problem.status);
    return http::ToResponse(WithSealErrorCode(problem), context.request_id);
  }

  const KmSOptions options_;
  const ApiRoot root_;
  const KmSDependencies dependencies_;
};

}  // namespace

void RegisterKmS(http::Api& api, KmSOptions options, KmSDependencies dependencies) {
  auto resource = std::make_shared<KeyRecords>(std::move(options), dependencies);
  api.Add("GET", resource->path(),
          [resource](const Request& request, RequestContext& context, const http::PathValues&) {
            return resource->Get(request, context);
          });
}

}  // namespace skms::seal
