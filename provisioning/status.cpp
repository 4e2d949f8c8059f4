#include <iostream>
#include <nlohmann/json.hpp>

#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {

using nlohmann::json;

Status RunStatus(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json s, AdminGet(session, "/admin/v1/status"));
  if (session.json) {
    PrintJson(s);
    return Ok();
  }
  const json& token = s["token"];
  const json& keys = s["tokenKeys"];
  std::cout << RenderPairs(
      {{"server", Cell(s["skms"]) + ", skmsd " + Cell(s["version"]) + ", up since " + Cell(s["started"])},
       {"healthy", Cell(s["healthy"])},
       {"token", Cell(token["label"]) + ", serial " + Cell(token["serial"]) + ", " +
                     Cell(token["manufacturer"]) + " " + Cell(token["model"])},
       {"token keys", "kek " + Cell(keys["kek"]) + ", mac " + Cell(keys["mac"]) + ", sign " +
                          Cell(keys["sign"]) + ", transfer " + Cell(keys["transfer"])},
       {"sessions", Cell(s["sessions"]["inUse"]) + " of " + Cell(s["sessions"]["limit"]) + " in use"},
       {"services", Cell(s["services"])},
       {"principals", Cell(s["principals"])},
       {"key versions", Cell(s["keyVersions"])},
       {"schema version", Cell(s["schemaVersion"])},
       {"audit entries", Cell(s["audit"]["entries"])},
       {"audit head", Cell(s["audit"]["head"])}});
  return Ok();
}

Status RunAuditVerify(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/audit/verification"));
  if (session.json) {
    PrintJson(answer);
  } else {
    std::cout << "the chain of " << answer["entries"] << " entries is whole\nhead " << Cell(answer["head"])
              << "\nnote the head elsewhere: it shows later whether the tail was cut\n";
  }
  return Ok();
}

}  // namespace skms::provisioning
