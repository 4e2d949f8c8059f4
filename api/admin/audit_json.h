// The audit chain as JSON: what the admin API, exports and archives have of an entry and of a checkpoint, and
// the one spelling that a line of a file has. Pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "keystore/audit_values.h"

namespace skms::admin {

nlohmann::json AuditRecordJson(const keystore::AuditRecord& record);
nlohmann::json AuditCheckpointJson(const keystore::AuditCheckpoint& checkpoint);

/// A line of a file, without its end.
std::string AuditLineOf(const keystore::AuditRecord& record);
std::string AuditLineOf(const keystore::AuditCheckpoint& checkpoint);

struct AuditLineFacts {
  std::int64_t seq = 0;
  std::string hash;        ///< hex: of that entry
  std::string checkpoint;  ///< the JWS; empty: the line is an entry
};
/// nullopt: it is no whole line of an audit chain.
std::optional<AuditLineFacts> ReadAuditLine(std::string_view line);
/// Does `cut` begin as a line does? It may end anywhere.
bool BeginsAuditLine(std::string_view cut);

}  // namespace skms::admin
