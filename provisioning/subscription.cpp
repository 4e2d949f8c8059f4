#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {

using nlohmann::json;

Status RunSubscriptionList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/subscriptions"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  PrintList(answer.at("subscriptions"),
            {{"SUBSCRIPTION", "id"},
             {"PRINCIPAL", "principal"},
             {"DESTINATION", "destination"},
             {"CREATED", "created"},
             {"BEHIND", "behind"}},
            "no subscriptions; VAL servers and group servers make them (docs/notifications.md)");
  return Ok();
}

Status RunSubscriptionRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, "/admin/v1/subscriptions/" + PercentEncode(id)));
  PrintDone(session.json, "subscription", id, "removed",
            "subscription '" + id + "' removed; it is told no more");
  return Ok();
}

}  // namespace skms::provisioning
