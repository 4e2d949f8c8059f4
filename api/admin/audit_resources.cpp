#include "api/admin/audit_resources.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "api/admin/audit_json.h"
#include "api/admin/entry_json.h"
#include "api/http/json.h"
#include "base/date_time.h"
#include "base/encoding.h"
#include "keystore/audit_checkpoint.h"

namespace skms::admin {
namespace {

using http::Response;
using keystore::AuditCheckpoint;
using keystore::AuditPage;
using keystore::AuditQuery;
using keystore::AuditRecord;
using keystore::Selector;
using keystore::TargetKind;
using nlohmann::json;

json PageJson(const AuditPage& page) {
  json out{{"entries", json::array()}, {"checkpoints", json::array()}, {"more", page.more}};
  for (const AuditRecord& one : page.entries) out["entries"].push_back(AuditRecordJson(one));
  for (const AuditCheckpoint& one : page.checkpoints) out["checkpoints"].push_back(AuditCheckpointJson(one));
  return out;
}

Result<json> ReadChain(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const Page wanted, PageFromText(call.request.query, call.invalid));
  const auto after = wanted.after.empty() ? std::optional<std::int64_t>(0) : WholeNumber(wanted.after);
  if (!after) {
    call.invalid.push_back({"after", "is no number of an entry"});
    return InvalidArgument("'after' is no number of an entry");
  }
  SKMS_TRY(const AuditPage page, deps.store.ReadAudit(*after, wanted.limit));
  return PageJson(page);
}

/// Milliseconds since 1970.
std::optional<std::int64_t> TimeIn(BodyReader& reader, const char* member) {
  const std::string text = reader.Text(member, false);
  if (text.empty()) return std::nullopt;
  const auto time = ParseDateTime(text);
  if (!time) reader.Wrong(member, "is no time like 2026-12-31T00:00:00Z");
  return time;
}

/// A user or UE is looked for by what the chain calls him; his name is in no address and no log.
Result<AuditQuery> QueryFrom(const AdminDependencies& deps, const json& body, InvalidParams& invalid) {
  constexpr std::uint32_t kMost = 1000;
  BodyReader reader(body, invalid);
  AuditQuery query;
  query.after = reader.Number("after", 0);
  query.since_ms = TimeIn(reader, "since");
  query.before_ms = TimeIn(reader, "before");
  query.actor = reader.Text("actor", false);
  query.action = reader.Text("action", false);
  query.outcome = reader.Text("outcome", false);
  query.service = reader.Text("service", false);
  query.kid = reader.Text("kid", false);
  query.request_id = reader.Text("requestId", false);
  query.target_pseudonym = reader.Text("target", false);
  for (const auto& [member, kind] :
       {std::pair("userId", TargetKind::kUser), std::pair("ueId", TargetKind::kUe),
        std::pair("clientId", TargetKind::kClient), std::pair("groupId", TargetKind::kGroup)}) {
    const std::string name = reader.Text(member, false);
    if (!reader.Has(member)) continue;
    if (!query.target_pseudonym.empty())
      reader.Wrong(member, "give at most one of 'target', 'userId', 'ueId', 'clientId' and 'groupId'");
    query.target_pseudonym = deps.store.AuditPseudonym(Selector{{}, kind, name});
  }
  if (!query.outcome.empty() && query.outcome != "granted" && query.outcome != "refused")
    reader.Wrong("outcome", "is 'granted' or 'refused'");
  const std::int64_t limit = reader.Number("limit", query.limit);
  if (limit < 1 || limit > kMost) reader.Wrong("limit", "must be 1 to 1000");
  query.limit = static_cast<std::uint32_t>(limit);
  SKMS_TRYV(reader.Finish());
  return query;
}

Result<json> Search(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  SKMS_TRY(const AuditQuery query, QueryFrom(deps, body, call.invalid));
  SKMS_TRY(const std::vector<AuditRecord> found, deps.store.SearchAudit(query));
  json list = json::array();
  for (const AuditRecord& one : found) list.push_back(AuditRecordJson(one));
  return json{{"entries", std::move(list)}};
}

Result<json> Verify(const AdminDependencies& deps) {
  SKMS_TRY(const keystore::AuditVerdict verdict, deps.store.VerifyAudit());
  json out{{"entries", verdict.last},
           {"head", verdict.last > 0 ? verdict.head : std::string(keystore::kAuditGenesis)},
           {"whole", true},
           {"first", verdict.first},
           {"checkpoints", verdict.checkpoints},
           {"unverified", verdict.unverified},
           {"signedUpTo", verdict.signed_up_to}};
  if (verdict.signed_at_ms > 0) out["signedAt"] = FormatUtc(verdict.signed_at_ms / 1000);
  return out;
}

Result<json> Keys(const AdminDependencies& deps) {
  SKMS_TRY(const std::vector<keystore::AuditKey> keys, deps.store.AuditKeys());
  json list = json::array();
  for (const keystore::AuditKey& key : keys)
    list.push_back({{"kid", key.kid}, {"spki", ToBase64Url(key.spki)}});
  return json{{"keys", std::move(list)}};
}

/// The newest, whoever made it; of an empty chain there is none.
Result<json> Sign(const AdminDependencies& deps) {
  SKMS_TRYV(deps.store.SignAudit());
  SKMS_TRY(const std::optional<AuditCheckpoint> last, deps.store.LastCheckpoint());
  if (!last) return json{{"seq", 0}, {"hash", keystore::kAuditGenesis}};
  return AuditCheckpointJson(*last);
}

Status Archive(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  BodyReader reader(body, call.invalid);
  const std::int64_t seq = reader.Number("seq", 0);
  const std::string hash = reader.Text("hash", true);
  SKMS_TRYV(reader.Finish());
  SKMS_TRYV(deps.store.ArchiveAudit(call.by(), seq, hash));
  deps.audit.begin_deleting();
  return Ok();
}

}  // namespace

json AuditJson(const AdminDependencies& deps, const keystore::AuditSummary& head) {
  const AuditReport report = deps.audit.report();
  json out{{"entries", head.entries}, {"head", head.head}, {"signedUpTo", report.signed_up_to}};
  if (report.signed_at_ms > 0) out["signedAt"] = FormatUtc(report.signed_at_ms / 1000);
  if (report.exported.on) {
    out["export"] = {{"upTo", report.exported.exported}, {"behind", report.exported.behind}};
    if (!report.exported.trouble.empty()) out["export"]["trouble"] = report.exported.trouble;
  }
  return out;
}

Response VerifyAudit(const AdminDependencies& deps, const Call& call) { return Answer(Verify(deps), call); }
Response ReadAudit(const AdminDependencies& deps, Call& call) { return Answer(ReadChain(deps, call), call); }
Response SearchAudit(const AdminDependencies& deps, Call& call) { return Answer(Search(deps, call), call); }
Response ListAuditKeys(const AdminDependencies& deps, const Call& call) { return Answer(Keys(deps), call); }
Response SignAudit(const AdminDependencies& deps, const Call& call) { return Answer(Sign(deps), call); }
Response ArchiveAudit(const AdminDependencies& deps, Call& call) {
  return NoContent(Archive(deps, call), call);
}

}  // namespace skms::admin
