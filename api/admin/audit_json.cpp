#include "api/admin/audit_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace skms::admin {
namespace {

using nlohmann::json;

std::string Line(const json& line) { return line.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

json AuditRecordJson(const keystore::AuditRecord& record) {
  const keystore::AuditEntry& entry = record.entry;
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

json AuditCheckpointJson(const keystore::AuditCheckpoint& checkpoint) {
  return {{"seq", checkpoint.seq},
          {"hash", checkpoint.hash},
          {"timeMs", checkpoint.time_ms},
          {"kid", checkpoint.kid},
          {"checkpoint", checkpoint.jws}};
}

std::string AuditLineOf(const keystore::AuditRecord& record) { return Line(AuditRecordJson(record)); }
std::string AuditLineOf(const keystore::AuditCheckpoint& checkpoint) {
  return Line(AuditCheckpointJson(checkpoint));
}

std::optional<AuditLineFacts> ReadAuditLine(std::string_view line) {
  const json read = json::parse(line, nullptr, false);
  const auto text = [&read](const char* member) -> std::optional<std::string> {
    if (!read.contains(member) || !read.at(member).is_string()) return std::nullopt;
    return read.at(member).get<std::string>();
  };
  if (!read.is_object() || !read.contains("seq") || !read.at("seq").is_number_integer()) return std::nullopt;
  auto hash = text("hash");
  if (!hash) return std::nullopt;
  return AuditLineFacts{read.at("seq").get<std::int64_t>(), std::move(*hash),
                        text("checkpoint").value_or("")};
}

bool BeginsAuditLine(std::string_view cut) {
  // Members stand in the order of their names.
  for (const std::string_view ours :
       {std::string_view(R"({"action":")"), std::string_view(R"({"checkpoint":")")}) {
    const std::size_t size = std::min(ours.size(), cut.size());
    if (cut.substr(0, size) == ours.substr(0, size)) return true;
  }
  return false;
}

}  // namespace skms::admin
