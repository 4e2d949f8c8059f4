#include "api/admin/locked_api.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"
#include "api/admin/permissions.h"
#include "api/admin/unlock_request.h"
#include "base/log.h"

namespace skms::admin {
namespace {

using http::Response;
using nlohmann::json;

class LockedApi {
 public:
  explicit LockedApi(LockedDependencies dependencies) : deps_(std::move(dependencies)) {}

  void Identify(http::RequestContext& context) const { IdentifyRemote(deps_.access, context); }

  Response Handle(const AdminResource& route, Call& call) {
    if (auto refusal = JudgeAccess(deps_.access, route.method, route.pattern, call)) {
      const auto& peer = call.context.credentials;
      LogWarning("request " + call.context.request_id + " of user " +
                 (peer ? std::to_string(peer->uid) : std::string("unknown")) +
                 " refused: " + refusal->reason);
      return std::move(refusal->answer);
    }
    const std::string pattern = route.pattern;
    if (pattern == "/healthz") return JsonResponse(200, {{"status", "ok"}});
    if (pattern == "/metrics") return MetricsResponse(deps_.metrics());
    if (pattern == "/status") return StatusPageResponse(Page());
    if (pattern == "/admin/v1/status") return JsonResponse(200, ReadStatus());
    if (pattern == "/admin/v1/unlock") return NoContent(Unlock(call), call);
    return Failed({ErrorCode::kLocked, "locked: " + deps_.reasons().front()}, call);
  }

 private:
  Status Unlock(Call& call) {
    SKMS_TRY(UnlockRequest wanted, UnlockRequestOf(call));
    return deps_.unlock(wanted.label, std::move(wanted.pin), call.by());
  }

  json ReadStatus() {
    return {{"skms", deps_.skms_id},
            {"state", "locked"},
            {"reasons", deps_.reasons()},
            {"version", deps_.version},
            {"started", FormatUtc(deps_.started)},
            {"time", FormatUtc(deps_.clock.NowSeconds())},
            {"healthy", true}};
  }

  StatusPage Page() {
    StatusPage page;
    page.skms_id = deps_.skms_id;
    page.version = deps_.version;
    page.now = deps_.clock.NowSeconds();
    page.started = deps_.started;
    page.state = "locked";
    page.reasons = deps_.reasons();
    return page;
  }

  LockedDependencies deps_;
};

}  // namespace

void RegisterLockedApi(http::Api& api, LockedDependencies dependencies) {
  auto resource = std::make_shared<LockedApi>(std::move(dependencies));
  for (const AdminResource& one : AdminResources()) {
    api.Add(one.method, one.pattern,
            [resource, one](const http::Request& request, http::RequestContext& context,
                            const http::PathValues& values) {
              resource->Identify(context);
              Call call{request, context, values, {}};
              return resource->Handle(one, call);
            });
  }
}

}  // namespace skms::admin
