#include "api/admin/key_resources.h"

#include <nlohmann/json.hpp>

#include "api/admin/entry_json.h"
#include "api/admin/list_json.h"
#include "api/http/json.h"

namespace skms::admin {
namespace {

using http::Response;
using nlohmann::json;

Result<json> DoRotate(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  SKMS_TRY(const RotationOrder order, RotationOrderFromJson(body, call.invalid));
  if (order.dry_run) {
    SKMS_TRY(const keystore::RotationPreview preview, deps.store.PreviewRotation(order.selector));
    return ToJson(preview);
  }
  SKMS_TRY(const keystore::KeyVersion made, deps.store.Rotate(call.by(), order.selector));
  return ToJson(made);
}

Result<keystore::KeyVersion> DoChangeKey(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  SKMS_TRY(const keystore::KeyChange change, KeyChangeFromJson(body, call.invalid));
  return deps.store.ChangeKey(call.by(), keystore::Kid(call.values[0]), change);
}

}  // namespace

Response ListKeys(const AdminDependencies& deps, Call& call) {
  const auto query = KeyQueryFromText(call.request.query, call.invalid);
  if (query.has_error()) return Failed(query.error(), call);
  const auto keys = deps.store.ListKeys(query.value());
  if (keys.has_error()) return Failed(keys.error(), call);
  return List("keys", keys.value());
}

Response ListPayloads(const AdminDependencies& deps, Call& call) {
  const auto query = PayloadQueryFromText(call.request.query, call.invalid);
  if (query.has_error()) return Failed(query.error(), call);
  const PayloadQuery& wanted = query.value();
  const auto found = deps.store.ListPayloads(wanted.service, wanted.page.after, wanted.page.limit);
  if (found.has_error()) return Failed(found.error(), call);
  return List("payloads", found.value());
}
Response RemovePayload(const AdminDependencies& deps, const Call& call) {
  return NoContent(deps.store.RemovePayload(call.by(), call.values[0]), call);
}

Response ShowKey(const AdminDependencies& deps, const Call& call) {
  const auto key = deps.store.ShowKey(keystore::Kid(call.values[0]));
  if (key.has_error()) return Failed(key.error(), call);
  return JsonResponse(200, ToJson(key.value()));
}

Response ChangeKey(const AdminDependencies& deps, Call& call) {
  const auto changed = DoChangeKey(deps, call);
  if (changed.has_error()) return Failed(changed.error(), call);
  return JsonResponse(200, ToJson(changed.value()));
}

Response RotateKey(const AdminDependencies& deps, Call& call) {
  const auto done = DoRotate(deps, call);
  if (done.has_error()) return Failed(done.error(), call);
  return JsonResponse(done.value().contains("dryRun") ? 200 : 201, done.value());
}

}  // namespace skms::admin
