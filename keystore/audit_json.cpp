#include "keystore/audit_json.h"

#include <nlohmann/json.hpp>

namespace skms::keystore {

using nlohmann::json;

json AuditRecordJson(const AuditRecord& record) {
  const AuditEntry& entry = record.entry;
  return {{"seq", record.seq},
          {"timeMs", record.time_ms},
          {"actor", entry.actor},
          {"action", entry.action},
          {"outcome", entry.outcome},
          {"service", entry.service},
          {"targetKind", entry.target_kind},
          {"target", entry.target_pseudonym},
          {"kid", entry.kid},
          {"reason", entry.reason},
          {"requestId", entry.request_id},
          {"previous", record.previous},
          {"hash", record.hash}};
}

json AuditCheckpointJson(const AuditCheckpoint& checkpoint) {
  return {{"seq", checkpoint.seq},
          {"hash", checkpoint.hash},
          {"timeMs", checkpoint.time_ms},
          {"kid", checkpoint.kid},
          {"checkpoint", checkpoint.jws}};
}

std::string AuditLine(const json& line) { return line.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace skms::keystore
