#include "api/admin/admin_api.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/admin/entry_json.h"
#include "api/admin/peer_access.h"
#include "api/auth/authenticator.h"
#include "api/http/json.h"
#include "api/http/problem_details.h"
#include "api/http/query.h"
#include "base/encoding.h"

namespace skms::admin {
namespace {

using http::PathValues;
using http::Request;
using http::RequestContext;
using http::Response;
using nlohmann::json;

Response JsonResponse(int status, const json& body) {
  Response response;
  response.status = status;
  response.headers.Set("Content-Type", "application/json");
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return response;
}

Response Failed(const Error& error, const RequestContext& context) {
  http::ProblemDetails problem = http::ProblemFor(error.code);
  problem.detail = error.detail;  // the administrator is trusted with it
  if (problem.status >= 500) spdlog::error("request {}: {}", context.request_id, error.Describe());
  return http::ToResponse(problem, context.request_id);
}

Response Answer(const Status& status, int success, const RequestContext& context) {
  if (status.has_error()) return Failed(status.error(), context);
  Response response;
  response.status = success;
  return response;
}

/// One administrator's request with what the handlers need of it.
struct Call {
  const Request& request;
  const RequestContext& context;
  const PathValues& values;

  keystore::Requester by() const {
    return {
        keystore::PrincipalId("admin:" + std::to_string(context.credentials->uid)), {}, context.request_id};
  }
  Result<json> body() const { return http::ParseJson(request.body); }
};

class AdminApi {
 public:
  explicit AdminApi(AdminDependencies dependencies) : deps_(std::move(dependencies)) {}

  bool Allows(const RequestContext& context) const {
    return MayAdminister(context.credentials, ::geteuid(), deps_.admin_group);
  }

  Response Health(const Call& call) {
    const auto audit = deps_.store.Audit();
    const bool fine = deps_.healthy() && audit.has_value();
    if (!fine) return Failed(Error{ErrorCode::kTokenUnavailable, "not healthy; see the log"}, call.context);
    return JsonResponse(200, {{"status", "ok"}});
  }

  Response GetStatus(const Call& call) {
    const auto keys = deps_.store.CountKeyVersions();
    const auto audit = deps_.store.Audit();
    if (keys.has_error()) return Failed(keys.error(), call.context);
    if (audit.has_error()) return Failed(audit.error(), call.context);
    const hsm::TokenInfo& token = deps_.module.info();
    const hsm::TokenKeyGenerations& generations = deps_.module.generations();
    const auto sessions = deps_.module.session_use();
    return JsonResponse(200, {{"skms", deps_.skms_id},
                              {"version", deps_.version},
                              {"started", FormatUtc(deps_.started)},
                              {"healthy", deps_.healthy()},
                              {"token",
                               {{"label", token.label},
                                {"serial", token.serial},
                                {"manufacturer", token.manufacturer},
                                {"model", token.model}}},
                              {"tokenKeys",
                               {{"kek", generations.kek},
                                {"mac", generations.mac},
                                {"sign", generations.sign},
                                {"transfer", generations.transfer}}},
                              {"sessions", {{"inUse", sessions.leased}, {"limit", sessions.limit}}},
                              {"services", deps_.store.Services().size()},
                              {"principals", deps_.store.Principals().size()},
                              {"keyVersions", keys.value()},
                              {"schemaVersion", deps_.store.schema_version()},
                              {"audit", {{"entries", audit.value().entries}, {"head", audit.value().head}}}});
  }

  Response VerifyAudit(const Call& call) {
    const auto verified = deps_.store.VerifyAudit();
    if (verified.has_error()) return Failed(verified.error(), call.context);
    return JsonResponse(
        200, {{"entries", verified.value().entries}, {"head", verified.value().head}, {"whole", true}});
  }

  Response GetToken(const Call& /*call*/) {
    return JsonResponse(
        200, {{"label", deps_.module.info().label}, {"capabilities", ToJson(deps_.module.capabilities())}});
  }

  Response GetTransferKey(const Call& call) {
    const auto spki = deps_.module.TransferPublicKey();
    if (spki.has_error()) return Failed(spki.error(), call.context);
    const bool sha256 = deps_.module.capabilities().oaep_hash == hsm::OaepHash::kSha256;
    return JsonResponse(200,
                        {{"publicKey", ToBase64Url(spki.value())}, {"oaepHash", sha256 ? "sha256" : "sha1"}});
  }

  template <class Entry>
  static Response List(const char* name, const std::vector<Entry>& entries) {
    json list = json::array();
    for (const Entry& entry : entries) list.push_back(ToJson(entry));
    return JsonResponse(200, {{name, std::move(list)}});
  }

  Response ListServices(const Call& /*call*/) { return List("services", deps_.store.Services()); }
  Response ListPrincipals(const Call& /*call*/) { return List("principals", deps_.store.Principals()); }
  Response ListRecipients(const Call& /*call*/) { return List("recipients", deps_.store.Recipients()); }
  Response ListIssuers(const Call& /*call*/) { return List("issuers", deps_.store.Issuers()); }

  Response GetService(const Call& call) {
    const auto service = deps_.store.FindService(keystore::ValServiceId(call.values[0]));
    if (service.has_error()) return Failed(service.error(), call.context);
    return JsonResponse(200, ToJson(service.value()));
  }

  Response AddService(const Call& call) { return Answer(DoPutService(call, true), 201, call.context); }
  Response SetService(const Call& call) { return Answer(DoPutService(call, false), 204, call.context); }
  Response RemoveService(const Call& call) {
    return Answer(deps_.store.RemoveService(call.by(), keystore::ValServiceId(call.values[0])), 204,
                  call.context);
  }
  Response AddPrincipal(const Call& call) { return Answer(DoAddPrincipal(call), 201, call.context); }
  Response RemovePrincipal(const Call& call) {
    return Answer(deps_.store.RemovePrincipal(call.by(), keystore::PrincipalId(call.values[0])), 204,
                  call.context);
  }
  Response AddRecipient(const Call& call) { return Answer(DoAddRecipient(call), 201, call.context); }
  Response RemoveRecipient(const Call& call) {
    return Answer(deps_.store.RemoveRecipient(call.by(), keystore::RecipientId(call.values[0])), 204,
                  call.context);
  }
  Response AddIssuer(const Call& call) { return Answer(DoAddIssuer(call), 201, call.context); }
  Response RemoveIssuer(const Call& call) {
    return Answer(deps_.store.RemoveIssuer(call.by(), keystore::IssuerId(call.values[0])), 204, call.context);
  }

  Response ListKeys(const Call& call) {
    const auto query = KeyQuery(call.request.query);
    if (query.has_error()) return Failed(query.error(), call.context);
    const auto keys = deps_.store.ListKeys(query.value());
    if (keys.has_error()) return Failed(keys.error(), call.context);
    return List("keys", keys.value());
  }

  Response ShowKey(const Call& call) {
    const auto key = deps_.store.ShowKey(keystore::Kid(call.values[0]));
    if (key.has_error()) return Failed(key.error(), call.context);
    return JsonResponse(200, ToJson(key.value()));
  }

  Response Rotate(const Call& call) {
    const auto made = DoRotate(call);
    if (made.has_error()) return Failed(made.error(), call.context);
    return JsonResponse(201, ToJson(made.value()));
  }

 private:
  Status DoPutService(const Call& call, bool add) {
    SKMS_TRY(const json body, call.body());
    SKMS_TRY(const keystore::Service service, ServiceFromJson(body));
    if (add) return deps_.store.AddService(call.by(), service);
    if (service.id.value() != call.values[0]) return InvalidArgument("'id' is another than the path's");
    return deps_.store.SetService(call.by(), service);
  }

  Status DoAddPrincipal(const Call& call) {
    SKMS_TRY(const json body, call.body());
    SKMS_TRY(const keystore::Principal principal, PrincipalFromJson(body));
    return deps_.store.AddPrincipal(call.by(), principal);
  }

  Status DoAddRecipient(const Call& call) {
    SKMS_TRY(const json body, call.body());
    SKMS_TRY(RecipientRequest wanted, RecipientFromJson(body));
    keystore::RecipientEntry entry{wanted.id, wanted.principal, hsm::RsaRecipient{wanted.public_key}};
    if (!wanted.transport_key.empty()) {
      SKMS_TRY(hsm::WrappedKey admitted, deps_.module.AdmitTransportKey(wanted.transport_key));
      entry.key = hsm::TransportKeyRecipient{std::move(admitted)};
    } else {
      // Tried once, so that an unusable key is told now and not to the first VAL server that asks.
      SKMS_TRY(const hsm::GeneratedKey trial, deps_.module.GenerateWrapped({hsm::KeyKind::kAes, 32}));
      SKMS_TRYV(deps_.module.RewrapFor(entry.key, trial.wrapped, {hsm::KeyKind::kAes, 32}));
    }
    return deps_.store.AddRecipient(call.by(), entry);
  }

  Status DoAddIssuer(const Call& call) {
    SKMS_TRY(const json body, call.body());
    SKMS_TRY(const keystore::Issuer issuer, IssuerFromJson(body));
    SKMS_TRYV(auth::CheckJwks(issuer.jwks));
    return deps_.store.AddIssuer(call.by(), issuer);
  }

  Result<keystore::KeyVersion> DoRotate(const Call& call) {
    SKMS_TRY(const json body, call.body());
    SKMS_TRY(const keystore::Selector selector, SelectorFromJson(body));
    return deps_.store.Rotate(call.by(), selector);
  }

  static Result<keystore::KeyListQuery> KeyQuery(const std::string& text) {
    SKMS_TRY(const http::QueryParameters parameters, http::ParseQuery(text));
    keystore::KeyListQuery query;
    for (const auto& [name, value] : parameters) {
      if (name == "service") {
        query.service = keystore::ValServiceId(value);
      } else if (name == "after") {
        query.after_kid = value;
      } else if (name == "limit") {
        const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), query.limit);
        if (code != std::errc{} || end != value.data() + value.size())
          return InvalidArgument("limit must be 1 to 1000");
      } else {
        return InvalidArgument("'" + name + "' is no filter; known: service, after, limit");
      }
    }
    return query;
  }

  AdminDependencies deps_;
};

struct Route {
  const char* method;
  const char* pattern;
  Response (AdminApi::*handle)(const Call&);
};

constexpr Route kRoutes[] = {
    {"GET", "/healthz", &AdminApi::Health},
    {"GET", "/admin/v1/status", &AdminApi::GetStatus},
    {"GET", "/admin/v1/audit/verification", &AdminApi::VerifyAudit},
    {"GET", "/admin/v1/token", &AdminApi::GetToken},
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
    {"GET", "/admin/v1/keys", &AdminApi::ListKeys},
    {"POST", "/admin/v1/keys", &AdminApi::Rotate},
    {"GET", "/admin/v1/keys/{kid}", &AdminApi::ShowKey},
};

}  // namespace

void RegisterAdminApi(http::Api& api, AdminDependencies dependencies) {
  auto resource = std::make_shared<AdminApi>(std::move(dependencies));
  for (const Route& route : kRoutes) {
    api.Add(route.method, route.pattern,
            [resource, handle = route.handle](const Request& request, RequestContext& context,
                                              const PathValues& values) {
              if (!resource->Allows(context)) {
                return http::ToResponse(http::ProblemFor(ErrorCode::kPermissionDenied), context.request_id);
              }
              return (resource.get()->*handle)({request, context, values});
            });
  }
}

}  // namespace skms::admin
