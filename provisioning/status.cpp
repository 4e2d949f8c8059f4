#include <iostream>
#include <nlohmann/json.hpp>

#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {

using nlohmann::json;

Status RunStatus(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json status, AdminGet(session, "/admin/v1/status"));
  if (session.json) {
    PrintJson(status);
    return Ok();
  }
  const json& token = status.at("token");
  const json& keys = status.at("tokenKeys");
  const json& sessions = status.at("sessions");
  std::cout << RenderPairs(
      {{"server", Cell(status, "skms") + ", skmsd " + Cell(status, "version") + ", up since " +
                      Cell(status, "started")},
       {"healthy", Cell(status, "healthy")},
       {"token", Cell(token, "label") + ", serial " + Cell(token, "serial") + ", " +
                     Cell(token, "manufacturer") + " " + Cell(token, "model")},
       {"token keys", "kek " + Cell(keys, "kek") + ", mac " + Cell(keys, "mac") + ", sign " +
                          Cell(keys, "sign") + ", transfer " + Cell(keys, "transfer") + " (generations)"},
       {"sessions", Cell(sessions, "inUse") + " of " + Cell(sessions, "limit") + " in use"},
       {"services", Cell(status, "services")},
       {"principals", Cell(status, "principals")},
       {"recipients", Cell(status, "recipients")},
       {"issuers", Cell(status, "issuers")},
       {"key versions", Cell(status, "keyVersions")},
       {"schema version", Cell(status, "schemaVersion")},
       {"audit entries", Cell(status.at("audit"), "entries")},
       {"audit head", Cell(status.at("audit"), "head")}});
  return Ok();
}

}  // namespace skms::provisioning
