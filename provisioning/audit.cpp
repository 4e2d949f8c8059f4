#include <iostream>
#include <nlohmann/json.hpp>

#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {

Status RunAuditVerify(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const nlohmann::json answer, AdminGet(session, "/admin/v1/audit/verification"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  std::cout << "the chain of " << Cell(answer, "entries") << " entries is whole\nhead  "
            << Cell(answer, "head") << "\nkeep the head elsewhere: with it a cut tail shows later\n";
  return Ok();
}

}  // namespace skms::provisioning
