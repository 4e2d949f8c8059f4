#include "api/admin/admin_api.h"

#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/admin/admin_call.h"
#include "api/admin/appliance_state.h"
#include "api/admin/audit_resources.h"
#include "api/admin/backup_resources.h"
#include "api/admin/entry_json.h"
#include "api/admin/group_resources.h"
#include "api/admin/list_json.h"
#include "api/admin/peer_access.h"
#include "api/admin/status_json.h"
#include "api/admin/token_resources.h"
#include "api/admin/unlock_request.h"
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

  Response Handle(const Route& route, Call& call) {
    if (MayAdminister(call.context.credentials, ::geteuid(), deps_.admin_group)) {
      Response response = (this->*route.handle)(call);
      const bool refused = response.status >= 400 && response.status < 500;
      if (!refused || call.request.method == "GET") return response;
      const Status recorded = Refused(
          call, std::string(route.method) + " " + route.pattern + ": " + std::to_string(response.status));
      return recorded.has_error() ? Failed(recorded.error(), call) : response;
    }
    const Status recorded = Refused(call, "not-an-administrator");
    if (recorded.has_error()) return Failed(recorded.error(), call);
    return NotAnAdministrator(call);
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
  Response ListRecipients(Call& /*call*/) { return ListRecipientsNow(); }
  Response ListIssuers(Call& /*call*/) { return ListIssuersNow(); }

  Response GetService(Call& call) {
    const auto service = deps_.store.FindService(keystore::ValServiceId(call.values[0]));
    if (service.has_error()) return Failed(service.error(), call);
    return JsonResponse(200, ToJson(service.value()));
  }

  Response AddService(Call& call) { return Add(&AdminApi::DoAddService, call); }
  Response AddPrincipal(Call& call) { return Add(&AdminApi::DoAddPrincipal, call); }
  Response AddRecipient(Call& call) { return Add(&AdminApi::DoAddRecipient, call); }
  Response AddIssuer(Call& call) { return Add(&AdminApi::DoAddIssuer, call); }

  Response FetchIssuerKeys(Call& call) {
    const auto known = DoFetchIssuerKeys(keystore::IssuerId(call.values[0]));
    return known.has_error() ? Failed(known.error(), call) : JsonResponse(200, known.value());
  }

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

  Response ListKeys(Call& call) {
    const auto query = KeyQueryFromText(call.request.query, call.invalid);
    if (query.has_error()) return Failed(query.error(), call);
    const auto keys = deps_.store.ListKeys(query.value());
    if (keys.has_error()) return Failed(keys.error(), call);
    return List("keys", keys.value());
  }

  Response ListPayloads(Call& call) {
    const auto query = PayloadQueryFromText(call.request.query, call.invalid);
    if (query.has_error()) return Failed(query.error(), call);
    const PayloadQuery& wanted = query.value();
    const auto found = deps_.store.ListPayloads(wanted.service, wanted.page.after, wanted.page.limit);
    if (found.has_error()) return Failed(found.error(), call);
    return List("payloads", found.value());
  }
  Response RemovePayload(Call& call) {
    return NoContent(deps_.store.RemovePayload(call.by(), call.values[0]), call);
  }

  Response ShowKey(Call& call) {
    const auto key = deps_.store.ShowKey(keystore::Kid(call.values[0]));
    if (key.has_error()) return Failed(key.error(), call);
    return JsonResponse(200, ToJson(key.value()));
  }

  Response ChangeKey(Call& call) {
    const auto changed = DoChangeKey(call);
    if (changed.has_error()) return Failed(changed.error(), call);
    return JsonResponse(200, ToJson(changed.value()));
  }

  Response Rotate(Call& call) {
    const auto done = DoRotate(call);
    if (done.has_error()) return Failed(done.error(), call);
    return JsonResponse(done.value().contains("dryRun") ? 200 : 201, done.value());
  }

 private:
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

  Result<json> DoAddRecipient(Call& call) {
    SKMS_TRY(const json body, http::ParseJson(call.request.body));
    SKMS_TRY(RecipientRequest wanted, RecipientFromJson(body, call.invalid));
    keystore::RecipientEntry entry{wanted.id, wanted.principal, hsm::PublicKeyRecipient(wanted.public_key),
                                   wanted.ue};
    if (!wanted.transport_key.empty()) {
      SKMS_TRY(hsm::WrappedKey admitted, deps_.module.AdmitTransportKey(wanted.transport_key));
      entry.key = hsm::TransportKeyRecipient{std::move(admitted)};
    } else {
      // Tried once, so that an unusable key is told now and not to the first VAL server that asks.
      SKMS_TRY(const hsm::GeneratedKey trial, deps_.module.GenerateWrapped({hsm::KeyKind::kAes, 32}));
      SKMS_TRYV(deps_.module.RewrapFor(entry.key, trial.wrapped, {hsm::KeyKind::kAes, 32}));
    }
    SKMS_TRYV(deps_.store.AddRecipient(call.by(), entry));
    return ToJsonNow(entry);
  }

  json ToJsonNow(const keystore::Issuer& issuer) const {
    return ToJson(issuer, deps_.issuer_keys.report(issuer.id));
  }

  /// Whether it is marked TRUSTED is the token's to say: where that is lost, it is left out.
  json ToJsonNow(const keystore::RecipientEntry& recipient) const {
    json out = ToJson(recipient);
    if (!deps_.module.health().available) return out;
    const Status trusted = deps_.module.CheckTrusted(recipient.key);
    if (trusted.has_value() || trusted.error().code == ErrorCode::kRecipientNotTrusted)
      out["trusted"] = trusted.has_value();
    return out;
  }

  Response ListRecipientsNow() const {
    json recipients = json::array();
    for (const keystore::RecipientEntry& recipient : deps_.store.Recipients())
      recipients.push_back(ToJsonNow(recipient));
    return JsonResponse(200, {{"recipients", std::move(recipients)}});
  }

  Response ListIssuersNow() const {
    json issuers = json::array();
    for (const keystore::Issuer& issuer : deps_.store.Issuers()) issuers.push_back(ToJsonNow(issuer));
    return JsonResponse(200, {{"issuers", std::move(issuers)}});
  }

  Result<json> DoFetchIssuerKeys(const keystore::IssuerId& id) {
    for (const keystore::Issuer& issuer : deps_.store.Issuers()) {
      if (issuer.id == id && issuer.jwks_uri.empty())
        return Conflict("issuer '" + id.value() + "' has no URI; its keys came from a file");
    }
    const Status fetched = deps_.issuer_keys.fetch(id);
    // An issuer that is down is no fault of ours: what is known of it is the answer.
    if (fetched.has_error() && fetched.error().code == ErrorCode::kNotFound) return fetched.error();
    for (const keystore::Issuer& issuer : deps_.store.Issuers()) {
      if (issuer.id == id) return ToJsonNow(issuer);
    }
    return NotFound("there is no issuer '" + id.value() + "'");
  }

  Result<json> DoAddIssuer(Call& call) {
    SKMS_TRY(const json body, http::ParseJson(call.request.body));
    SKMS_TRY(const keystore::Issuer issuer, IssuerFromJson(body, call.invalid));
    SKMS_TRYV(deps_.store.AddIssuer(call.by(), issuer));
    if (!issuer.jwks_uri.empty()) return DoFetchIssuerKeys(issuer.id);
    return ToJsonNow(issuer);
  }

  Result<json> DoRotate(Call& call) {
    SKMS_TRY(const json body, http::ParseJson(call.request.body));
    SKMS_TRY(const RotationOrder order, RotationOrderFromJson(body, call.invalid));
    if (order.dry_run) {
      SKMS_TRY(const keystore::RotationPreview preview, deps_.store.PreviewRotation(order.selector));
      return ToJson(preview);
    }
    SKMS_TRY(const keystore::KeyVersion made, deps_.store.Rotate(call.by(), order.selector));
    return ToJson(made);
  }

  Result<keystore::KeyVersion> DoChangeKey(Call& call) {
    SKMS_TRY(const json body, http::ParseJson(call.request.body));
    SKMS_TRY(const keystore::KeyChange change, KeyChangeFromJson(body, call.invalid));
    return deps_.store.ChangeKey(call.by(), keystore::Kid(call.values[0]), change);
  }

  AdminDependencies deps_;
};

constexpr Route kRoutes[] = {
    {"GET", "/healthz", &AdminApi::Health},
    {"GET", "/readyz", &AdminApi::Ready},
    {"GET", "/metrics", &AdminApi::Metrics},
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
              Call call{request, context, values, {}};
              return resource->Handle(route, call);
            });
  }
}

}  // namespace skms::admin
