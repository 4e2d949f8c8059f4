// The audit chain as JSON: what the admin API, exports and archives have of an entry and of a checkpoint, and
// the one spelling that a line of a file has. Pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "keystore/audit_values.h"

namespace skms::keystore {

nlohmann::json AuditRecordJson(const AuditRecord& record);
nlohmann::json AuditCheckpointJson(const AuditCheckpoint& checkpoint);
/// Without its end.
std::string AuditLine(const nlohmann::json& line);

}  // namespace skms::keystore
