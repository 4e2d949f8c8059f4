#include "api/admin/admin_api.h"

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/admin/admin_call.h"
#include "api/admin/appliance_state.h"
#include "api/admin/approval_resources.h"
#include "api/admin/audit_resources.h"
#include "api/admin/backup_resources.h"
#include "api/admin/enrolment_resources.h"
#include "api/admin/entry_json.h"
#include "api/admin/group_resources.h"
#include "api/admin/key_resources.h"
#include "api/admin/list_json.h"
#include "api/admin/permissions.h"
#include "api/admin/status_json.h"
#include "api/admin/token_resources.h"
#include "api/admin/unlock_request.h"
#include "api/auth/rate_limiter.h"
#include "api/http/json.h"
#include "api/http/problem_details.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/log.h"

namespace skms::admin {
namespace {

using http::PathValues;
using http::Request;
using http::RequestContext;
using http::Response;
using nlohmann::json;

class AdminApi;

struct Route {
  const char* method;
  const char* pattern;
  Response (AdminApi::*handle)(Call&);
};

class AdminApi {
 public:
  explicit AdminApi(AdminDependencies dependencies) : deps_(std::move(dependencies)) {}

  void Identify(RequestContext& context) const { IdentifyRemote(deps_.access, context); }

  Response Handle(const Route& route, Call& call) {
    if (auto refusal = JudgeAccess(deps_.access, route.method, route.pattern, call)) {
      const Status recorded = RecordNoAccess(call, std::move(refusal->reason));
      return recorded.has_error() ? Failed(recorded.error(), call) : std::move(refusal->answer);
    }
    Response response = PerformApproved(deps_, route.method, route.pattern, call,
                                        [&] { return (this->*route.handle)(call); });
    const bool refused = response.status >= 400 && response.status < 500;
    if (!refused || call.request.method == "GET") return response;
    const Status recorded = Refused(
        call, std::string(route.method) + " " + route.pattern + ": " + std::to_string(response.status));
    return recorded.has_error() ? Failed(recorded.error(), call) : response;
  }

  /// Alive: asks neither the token nor the database, so that a hanging one cannot hang it.
  Response Health(Call& call) {
    if (!deps_.healthy()) return Failed(NotServing("a listener has ended; see the log"), call);
    return JsonResponse(200, {{"status", "ok"}});
  }

  Response Ready(Call& call) {
    if (!deps_.healthy()) return Failed(NotServing("a listener has ended; see the log"), call);
    // A lost token is told at once; waiting for it is for those who need it.
    if (const hsm::TokenHealth token = deps_.module.health(); !token.available)
      return Failed({ErrorCode::kTokenUnavailable, "the token is lost: " + token.trouble}, call);
    if (const auto random = deps_.module.Random(1); random.has_error()) return Failed(random.error(), call);
    if (const auto audit = deps_.store.Audit(); audit.has_error()) return Failed(audit.error(), call);
    return JsonResponse(200, {{"status", "ready"}, {"state", Text(JudgeState(deps_).name)}});
  }

  Response Metrics(Call& /*call*/) { return MetricsResponse(deps_.metrics()); }

  Response ShowPage(Call& /*call*/) { return StatusPageResponse(deps_.page()); }

  Response GetStatus(Call& call) { return Answer(ReadStatus(deps_), call); }

  Response Unlock(Call& call) { return NoContent(DoUnlock(call), call); }

  Response VerifyAudit(Call& call) { return admin::VerifyAudit(deps_, call); }
  Response ReadAudit(Call& call) { return admin::ReadAudit(deps_, call); }
  Response SearchAudit(Call& call) { return admin::SearchAudit(deps_, call); }
  Response ListAuditKeys(Call& call) { return admin::ListAuditKeys(deps_, call); }
  Response SignAudit(Call& call) { return admin::SignAudit(deps_, call); }
  Response ArchiveAudit(Call& call) { return admin::ArchiveAudit(deps_, call); }

  Response MakeBackup(Call& call) { return admin::MakeBackup(deps_, call); }
  Response ReadBackup(Call& call) { return admin::ReadBackup(deps_, call); }
  Response RemoveBackup(Call& call) { return admin::RemoveBackup(deps_, call); }
  Response AuthoriseRestore(Call& call) { return admin::AuthoriseRestore(deps_, call); }
  Response RecordBackupCheck(Call& call) { return admin::RecordBackupCheck(deps_, call); }

  Response GetToken(Call& /*call*/) {
    json body = ToJson(deps_.module.info());
    const hsm::Capabilities capabilities = deps_.module.capabilities();
    body["usable"] = capabilities.usable();
    body["capabilities"] = ToJson(capabilities);
    body["quirks"] = QuirksToJson(capabilities);
    body["profiles"] = ProfilesToJson(capabilities);
    // Not waited for: a lost token is told elsewhere.
    if (deps_.module.health().available) {
      if (const auto strict = deps_.module.ViewStrict(); strict.has_value())
        body["strict"] = ToJson(strict.value());
    }
    return JsonResponse(200, body);
  }

  Response RefreshStrict(Call& call) {
    const auto view = deps_.store.RefreshStrict(call.by());
    return view.has_error() ? Failed(view.error(), call) : JsonResponse(200, ToJson(view.value()));
  }

  Response GetTransferKey(Call& call) {
    const auto spki = deps_.module.TransferPublicKey();
    if (spki.has_error()) return Failed(spki.error(), call);
    const bool sha256 = deps_.module.capabilities().oaep_hash == hsm::OaepHash::kSha256;
    return JsonResponse(200, {{"spki", ToBase64Url(spki.value())}, {"oaepHash", sha256 ? "sha256" : "sha1"}});
  }

  Response ListTokens(Call& /*call*/) { return admin::ListTokens(deps_); }
  Response ShowJoinKey(Call& call) { return admin::ShowJoinKey(deps_, call); }
  Response JoinToken(Call& call) { return admin::JoinToken(deps_, call); }
  Response ShowTokenKeys(Call& /*call*/) { return admin::ShowTokenKeys(deps_); }
  Response RotateTokenKeys(Call& call) { return admin::RotateTokenKeys(deps_, call); }
  Response RetireTokenKeys(Call& call) { return admin::RetireTokenKeys(deps_, call); }

  Response ListApprovals(Call& call) { return admin::ListApprovals(deps_, call); }
  Response ShowApproval(Call& call) { return admin::ShowApproval(deps_, call); }
  Response Approve(Call& call) { return admin::Approve(deps_, call); }
  Response RefuseApproval(Call& call) { return admin::RefuseApproval(deps_, call); }
  Response WithdrawApproval(Call& call) { return admin::WithdrawApproval(deps_, call); }

  Response ListGroups(Call& call) { return admin::ListGroups(deps_, call); }
  Response ShowGroup(Call& call) { return admin::ShowGroup(deps_, call); }
  Response RekeyGroup(Call& call) { return admin::RekeyGroup(deps_, call); }
  Response RemoveGroup(Call& call) { return admin::RemoveGroup(deps_, call); }

  Response ListSubscriptions(Call& call) {
    json list = json::array();
    const auto newest = deps_.store.NewestEventNumber();
    if (newest.has_error()) return Failed(newest.error(), call);
    for (const keystore::Subscription& subscription : deps_.store.Subscriptions()) {
      const auto position = deps_.store.PositionOf(subscription);
      if (position.has_error()) return Failed(position.error(), call);
      list.push_back(ToJson(subscription));
      list.back()["behind"] = newest.value() - position.value();
    }
    return JsonResponse(200, {{"subscriptions", std::move(list)}});
  }

  Response RemoveSubscription(Call& call) {
    return NoContent(deps_.store.RemoveSubscription(call.by(), keystore::SubscriptionId(call.values[0])),
                     call);
  }

  Response ResumeRotation(Call& call) { return NoContent(deps_.rotation.resume(call.by().principal), call); }

  Response ListServices(Call& /*call*/) { return List("services", deps_.store.Services()); }
  Response ListPrincipals(Call& /*call*/) { return List("principals", deps_.store.Principals()); }
  Response ListRecipients(Call& /*call*/) { return admin::ListRecipients(deps_); }
  Response ListIssuers(Call& /*call*/) { return admin::ListIssuers(deps_); }

  Response GetService(Call& call) {
    const auto service = deps_.store.FindService(keystore::ValServiceId(call.values[0]));
    if (service.has_error()) return Failed(service.error(), call);
    return JsonResponse(200, ToJson(service.value()));
  }

  Response AddService(Call& call) { return Add(&AdminApi::DoAddService, call); }
  Response AddPrincipal(Call& call) { return Add(&AdminApi::DoAddPrincipal, call); }
  Response AddRecipient(Call& call) { return admin::AddRecipient(deps_, call); }
  Response AddIssuer(Call& call) { return admin::AddIssuer(deps_, call); }

  Response FetchIssuerKeys(Call& call) { return admin::FetchIssuerKeys(deps_, call); }

  Response SetService(Call& call) { return NoContent(DoSetService(call), call); }
  Response RemoveService(Call& call) {
    return NoContent(deps_.store.RemoveService(call.by(), keystore::ValServiceId(call.values[0])), call);
  }
  Response RemovePrincipal(Call& call) {
    return NoContent(deps_.store.RemovePrincipal(call.by(), keystore::PrincipalId(call.values[0])), call);
  }
  Response RemoveRecipient(Call& call) {
    return NoContent(deps_.store.RemoveRecipient(call.by(), keystore::RecipientId(call.values[0])), call);
  }
  Response RemoveIssuer(Call& call) {
    return NoContent(deps_.store.RemoveIssuer(call.by(), keystore::IssuerId(call.values[0])), call);
  }

  Response ListKeys(Call& call) { return admin::ListKeys(deps_, call); }
  Response ShowKey(Call& call) { return admin::ShowKey(deps_, call); }
  Response ChangeKey(Call& call) { return admin::ChangeKey(deps_, call); }
  Response Rotate(Call& call) { return admin::RotateKey(deps_, call); }
  Response ListPayloads(Call& call) { return admin::ListPayloads(deps_, call); }
  Response RemovePayload(Call& call) { return admin::RemovePayload(deps_, call); }

 private:
  /// Whoever may do nothing must not fill the chain either: past some a minute his refusals are counted, and
  /// told with the next one that is recorded.
  Status RecordNoAccess(const Call& call, std::string reason) {
    const auto& peer = call.context.credentials;
    if (no_access_.Take(peer ? std::to_string(peer->uid) : "unknown") != 0) {
      ++not_recorded_;
      return Ok();
    }
    const std::int64_t more = not_recorded_.exchange(0);
    if (more > 0) reason += " (and " + std::to_string(more) + " more, of anybody, that are not recorded)";
    return Refused(call, std::move(reason));
  }

  Status Refused(const Call& call, std::string reason) {
    const auto& peer = call.context.credentials;
    return deps_.store.RecordRefusal({"administer",
                                      peer ? "admin:" + std::to_string(peer->uid) : std::string("unknown"),
                                      std::move(reason), call.context.request_id});
  }

  static Error NotServing(std::string detail) { return {ErrorCode::kTokenUnavailable, std::move(detail)}; }

  Response Add(Result<json> (AdminApi::*add)(Call&), Call& call) {
    const auto added = (this->*add)(call);
    if (added.has_error()) return Failed(added.error(), call);
    return JsonResponse(201, added.value());
  }

  Status DoUnlock(Call& call) {
    SKMS_TRY(UnlockRequest wanted, UnlockRequestOf(call));
    return deps_.unlock(wanted.label, std::move(wanted.pin), call.by());
  }

  Result<json> DoAddService(Call& call) {
    SKMS_TRY(const json body, http::ParseJson(call.request.body));
    SKMS_TRY(const keystore::Service service, ServiceFromJson(body, call.invalid));
    SKMS_TRYV(deps_.store.AddService(call.by(), service));
    return ToJson(service);
  }

  Status DoSetService(Call& call) {
    SKMS_TRY(const json body, http::ParseJson(call.request.body));
    SKMS_TRY(const keystore::Service service, ServiceFromJson(body, call.invalid));
    if (service.id.value() != call.values[0]) {
      call.invalid.push_back({"/id", "is another than the path's"});
      return InvalidArgument("'id' is another than the path's");
    }
    return deps_.store.SetService(call.by(), service);
  }

  Result<json> DoAddPrincipal(Call& call) {
    SKMS_TRY(const json body, http::ParseJson(call.request.body));
    SKMS_TRY(const keystore::Principal principal, PrincipalFromJson(body, call.invalid));
    SKMS_TRYV(deps_.store.AddPrincipal(call.by(), principal));
    return ToJson(principal);
  }

  static constexpr double kNoAccessPerSecond = 0.2;
  static constexpr double kNoAccessBurst = 20;

  AdminDependencies deps_;
  auth::RateLimiter no_access_{deps_.clock, kNoAccessPerSecond, kNoAccessBurst};
  std::atomic<std::int64_t> not_recorded_{0};
};

constexpr Route kRoutes[] = {
    {"GET", "/healthz", &AdminApi::Health},
    {"GET", "/readyz", &AdminApi::Ready},
    {"GET", "/metrics", &AdminApi::Metrics},
    {"GET", "/status", &AdminApi::ShowPage},
    {"GET", "/admin/v1/status", &AdminApi::GetStatus},
    {"POST", "/admin/v1/unlock", &AdminApi::Unlock},
    {"GET", "/admin/v1/audit/verification", &AdminApi::VerifyAudit},
    {"GET", "/admin/v1/audit/chain", &AdminApi::ReadAudit},
    {"POST", "/admin/v1/audit/search", &AdminApi::SearchAudit},
    {"GET", "/admin/v1/audit/keys", &AdminApi::ListAuditKeys},
    {"POST", "/admin/v1/audit/checkpoints", &AdminApi::SignAudit},
    {"POST", "/admin/v1/audit/archives", &AdminApi::ArchiveAudit},
    {"POST", "/admin/v1/backups", &AdminApi::MakeBackup},
    {"POST", "/admin/v1/backups/checks", &AdminApi::RecordBackupCheck},
    {"GET", "/admin/v1/backups/{id}/content", &AdminApi::ReadBackup},
    {"DELETE", "/admin/v1/backups/{id}", &AdminApi::RemoveBackup},
    {"POST", "/admin/v1/backups/restorations", &AdminApi::AuthoriseRestore},
    {"GET", "/admin/v1/approvals", &AdminApi::ListApprovals},
    {"GET", "/admin/v1/approvals/{id}", &AdminApi::ShowApproval},
    {"POST", "/admin/v1/approvals/{id}/approve", &AdminApi::Approve},
    {"POST", "/admin/v1/approvals/{id}/refuse", &AdminApi::RefuseApproval},
    {"POST", "/admin/v1/approvals/{id}/withdraw", &AdminApi::WithdrawApproval},
    {"GET", "/admin/v1/subscriptions", &AdminApi::ListSubscriptions},
    {"DELETE", "/admin/v1/subscriptions/{id}", &AdminApi::RemoveSubscription},
    {"GET", "/admin/v1/groups", &AdminApi::ListGroups},
    {"GET", "/admin/v1/groups/{id}", &AdminApi::ShowGroup},
    {"POST", "/admin/v1/groups/{id}/rekey", &AdminApi::RekeyGroup},
    {"DELETE", "/admin/v1/groups/{id}", &AdminApi::RemoveGroup},
    {"POST", "/admin/v1/rotation/resume", &AdminApi::ResumeRotation},
    {"GET", "/admin/v1/tokens", &AdminApi::ListTokens},
    {"GET", "/admin/v1/tokens/{label}/join-key", &AdminApi::ShowJoinKey},
    {"POST", "/admin/v1/tokens/{label}/join", &AdminApi::JoinToken},
    {"GET", "/admin/v1/token-keys", &AdminApi::ShowTokenKeys},
    {"POST", "/admin/v1/token-keys/rotate", &AdminApi::RotateTokenKeys},
    {"POST", "/admin/v1/token-keys/retire", &AdminApi::RetireTokenKeys},
    {"GET", "/admin/v1/token", &AdminApi::GetToken},
    {"POST", "/admin/v1/token/strict", &AdminApi::RefreshStrict},
    {"GET", "/admin/v1/transfer-key", &AdminApi::GetTransferKey},
    {"GET", "/admin/v1/services", &AdminApi::ListServices},
    {"POST", "/admin/v1/services", &AdminApi::AddService},
    {"GET", "/admin/v1/services/{id}", &AdminApi::GetService},
    {"PUT", "/admin/v1/services/{id}", &AdminApi::SetService},
    {"DELETE", "/admin/v1/services/{id}", &AdminApi::RemoveService},
    {"GET", "/admin/v1/principals", &AdminApi::ListPrincipals},
    {"POST", "/admin/v1/principals", &AdminApi::AddPrincipal},
    {"DELETE", "/admin/v1/principals/{id}", &AdminApi::RemovePrincipal},
    {"GET", "/admin/v1/recipients", &AdminApi::ListRecipients},
    {"POST", "/admin/v1/recipients", &AdminApi::AddRecipient},
    {"DELETE", "/admin/v1/recipients/{id}", &AdminApi::RemoveRecipient},
    {"GET", "/admin/v1/issuers", &AdminApi::ListIssuers},
    {"POST", "/admin/v1/issuers", &AdminApi::AddIssuer},
    {"DELETE", "/admin/v1/issuers/{id}", &AdminApi::RemoveIssuer},
    {"POST", "/admin/v1/issuers/{id}/keys", &AdminApi::FetchIssuerKeys},
    {"GET", "/admin/v1/payloads", &AdminApi::ListPayloads},
    {"DELETE", "/admin/v1/payloads/{id}", &AdminApi::RemovePayload},
    {"GET", "/admin/v1/keys", &AdminApi::ListKeys},
    {"POST", "/admin/v1/keys/rotate", &AdminApi::Rotate},
    {"GET", "/admin/v1/keys/{kid}", &AdminApi::ShowKey},
    {"POST", "/admin/v1/keys/{kid}/transitions", &AdminApi::ChangeKey},
};

}  // namespace

std::vector<AdminResource> AdminResources() {
  std::vector<AdminResource> resources;
  resources.reserve(std::size(kRoutes));
  for (const Route& route : kRoutes) resources.push_back({route.method, route.pattern});
  return resources;
}

void RegisterAdminApi(http::Api& api, AdminDependencies dependencies) {
  auto resource = std::make_shared<AdminApi>(std::move(dependencies));
  for (const Route& route : kRoutes) {
    api.Add(route.method, route.pattern,
            [resource, &route](const Request& request, RequestContext& context, const PathValues& values) {
              resource->Identify(context);
              Call call{request, context, values, {}};
              return resource->Handle(route, call);
            });
  }
}

}  // namespace skms::admin
