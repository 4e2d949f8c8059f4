#include "keystore/audit_checkpoint.h"

#include <algorithm>
#include <utility>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/plain_json.h"

namespace skms::keystore {

std::string AuditHash(const AuditRecord& record) {
  const AuditEntry& entry = record.entry;
  Bytes fields;
  AppendField(fields, std::string_view("skms audit v1"));
  AppendField(fields, record.previous);
  AppendField(fields, record.seq);
  AppendField(fields, record.time_ms);
  for (const std::string* field :
       {&entry.actor, &entry.action, &entry.outcome, &entry.service, &entry.target_kind,
        &entry.target_pseudonym, &entry.kid, &entry.reason, &entry.request_id}) {
    AppendField(fields, *field);
  }
  return ToHex(Sha256(fields));
}

std::string ArchiveReasonEnd(std::int64_t last, const std::string& hash) {
  return "-" + std::to_string(last) + " hash=" + hash;
}

std::string CheckpointPayload(const AuditCheckpoint& checkpoint) {
  PlainJsonWriter writer;
  writer.Number("seq", checkpoint.seq).Text("hash", checkpoint.hash).Number("time_ms", checkpoint.time_ms);
  if (!checkpoint.next_key.empty()) writer.Text("next", ToBase64Url(checkpoint.next_key));
  return writer.Done();
}

Result<AuditCheckpoint> ReadCheckpoint(const Jws& jws, std::string_view text) {
  PlainJsonReader reader(jws.payload);
  const auto seq = reader.Number("seq");
  auto hash = reader.Text("hash");
  const auto time_ms = reader.Number("time_ms");
  const bool digest =
      hash && hash->size() == 64 && hash->find_first_not_of("0123456789abcdef") == std::string::npos;
  const Error wrong = InvalidArgument("is no audit checkpoint");
  if (jws.header.typ != kCheckpointType || !seq || *seq < 0 || !digest || !time_ms) return wrong;
  AuditCheckpoint checkpoint{*seq, std::move(*hash), *time_ms, {}, jws.header.kid, std::string(text)};
  if (const auto next = reader.Text("next")) {
    auto key = FromBase64Url(*next);
    if (!key || key->empty()) return wrong;
    checkpoint.next_key = std::move(*key);
  }
  if (!reader.AtEnd()) return wrong;
  return checkpoint;
}

}  // namespace skms::keystore
