#include "api/admin/enrolment_resources.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/admin/entry_json.h"
#include "api/http/json.h"

namespace skms::admin {
namespace {

using http::Response;
using nlohmann::json;

json ToJsonNow(const AdminDependencies& deps, const keystore::Issuer& issuer) {
  return ToJson(issuer, deps.issuer_keys.report(issuer.id));
}

/// Whether it is marked TRUSTED is the token's to say: where that is lost, it is left out.
json ToJsonNow(const AdminDependencies& deps, const keystore::RecipientEntry& recipient) {
  json out = ToJson(recipient);
  if (!deps.module.health().available) return out;
  const Status trusted = deps.module.CheckTrusted(recipient.key);
  if (trusted.has_value() || trusted.error().code == ErrorCode::kRecipientNotTrusted)
    out["trusted"] = trusted.has_value();
  return out;
}

Result<json> DoAddRecipient(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  SKMS_TRY(RecipientRequest wanted, RecipientFromJson(body, call.invalid));
  keystore::RecipientEntry entry{wanted.id, wanted.principal, hsm::PublicKeyRecipient(wanted.public_key),
                                 wanted.ue};
  if (!wanted.transport_key.empty()) {
    SKMS_TRY(hsm::WrappedKey admitted, deps.module.AdmitTransportKey(wanted.transport_key));
    entry.key = hsm::TransportKeyRecipient{std::move(admitted)};
  } else {
    // Tried once, so that an unusable key is told now and not to the first VAL server that asks.
    SKMS_TRY(const hsm::GeneratedKey trial, deps.module.GenerateWrapped({hsm::KeyKind::kAes, 32}));
    SKMS_TRYV(deps.module.RewrapFor(entry.key, trial.wrapped, {hsm::KeyKind::kAes, 32}));
  }
  SKMS_TRYV(deps.store.AddRecipient(call.by(), entry));
  return ToJsonNow(deps, entry);
}

Result<json> DoFetchIssuerKeys(const AdminDependencies& deps, const keystore::IssuerId& id) {
  for (const keystore::Issuer& issuer : deps.store.Issuers()) {
    if (issuer.id == id && issuer.jwks_uri.empty())
      return Conflict("issuer '" + id.value() + "' has no URI; its keys came from a file");
  }
  const Status fetched = deps.issuer_keys.fetch(id);
  // An issuer that is down is no fault of ours: what is known of it is the answer.
  if (fetched.has_error() && fetched.error().code == ErrorCode::kNotFound) return fetched.error();
  for (const keystore::Issuer& issuer : deps.store.Issuers()) {
    if (issuer.id == id) return ToJsonNow(deps, issuer);
  }
  return NotFound("there is no issuer '" + id.value() + "'");
}

Result<json> DoAddIssuer(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  SKMS_TRY(const keystore::Issuer issuer, IssuerFromJson(body, call.invalid));
  SKMS_TRYV(deps.store.AddIssuer(call.by(), issuer));
  if (!issuer.jwks_uri.empty()) return DoFetchIssuerKeys(deps, issuer.id);
  return ToJsonNow(deps, issuer);
}

Response Added(const Result<json>& added, const Call& call) {
  return added.has_error() ? Failed(added.error(), call) : JsonResponse(201, added.value());
}

}  // namespace

Response ListRecipients(const AdminDependencies& deps) {
  json recipients = json::array();
  for (const keystore::RecipientEntry& recipient : deps.store.Recipients())
    recipients.push_back(ToJsonNow(deps, recipient));
  return JsonResponse(200, {{"recipients", std::move(recipients)}});
}

Response ListIssuers(const AdminDependencies& deps) {
  json issuers = json::array();
  for (const keystore::Issuer& issuer : deps.store.Issuers()) issuers.push_back(ToJsonNow(deps, issuer));
  return JsonResponse(200, {{"issuers", std::move(issuers)}});
}

Response AddRecipient(const AdminDependencies& deps, Call& call) {
  return Added(DoAddRecipient(deps, call), call);
}

Response AddIssuer(const AdminDependencies& deps, Call& call) { return Added(DoAddIssuer(deps, call), call); }

Response FetchIssuerKeys(const AdminDependencies& deps, const Call& call) {
  return Answer(DoFetchIssuerKeys(deps, keystore::IssuerId(call.values[0])), call);
}

}  // namespace skms::admin
