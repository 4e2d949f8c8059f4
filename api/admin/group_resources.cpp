#include "api/admin/group_resources.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/admin/body_reader.h"
#include "api/admin/entry_json.h"
#include "api/admin/list_json.h"
#include "api/http/json.h"

namespace skms::admin {
namespace {

using http::Response;
using nlohmann::json;

Result<keystore::GroupChanged> Rekey(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  BodyReader reader(body, call.invalid);
  const std::string reason = reader.Text("reason", true);
  SKMS_TRYV(reader.Finish());
  return deps.store.RekeyGroup(call.by(), keystore::GroupId(call.values[0]), reason, {});
}

}  // namespace

Response ListGroups(const AdminDependencies& deps, Call& call) {
  const auto page = PageFromText(call.request.query, call.invalid);
  if (page.has_error()) return Failed(page.error(), call);
  const auto groups = deps.store.ListGroups(page.value().after, page.value().limit);
  if (groups.has_error()) return Failed(groups.error(), call);
  return List("groups", groups.value());
}

Response ShowGroup(const AdminDependencies& deps, Call& call) {
  const auto view = deps.store.ShowGroup(call.by(), keystore::GroupId(call.values[0]));
  if (view.has_error()) return Failed(view.error(), call);
  json body = ToJson(view.value().record);
  body["members"] = json::array();
  for (const keystore::GroupMember& member : view.value().members)
    body["members"].push_back({{"kind", Name(member.kind)}, {"id", member.id}});
  return JsonResponse(200, body);
}

Response RekeyGroup(const AdminDependencies& deps, Call& call) {
  const auto changed = Rekey(deps, call);
  if (changed.has_error()) return Failed(changed.error(), call);
  json body = ToJson(changed.value().record);
  body["keys"] = json::array();
  for (const keystore::KeyVersion& key : changed.value().keys)
    body["keys"].push_back(
        {{"service", key.selector.service.value()}, {"kid", key.kid.value()}, {"version", key.version}});
  return JsonResponse(200, body);
}

Response RemoveGroup(const AdminDependencies& deps, Call& call) {
  const auto removed = deps.store.DeleteGroup(call.by(), keystore::GroupId(call.values[0]), {});
  return NoContent(removed.has_error() ? Status(removed.error()) : Ok(), call);
}

}  // namespace skms::admin
