#include "api/admin/status_json.h"

#include <nlohmann/json.hpp>

#include "api/admin/appliance_state.h"
#include "api/admin/audit_resources.h"
#include "api/admin/entry_json.h"
#include "base/clock.h"

namespace skms::admin {

using nlohmann::json;

namespace {

json RotationJson(const RotationReport& report) {
  json out{{"held", report.held},   {"made", report.made},       {"activated", report.activated},
           {"ended", report.ended}, {"destroyed", report.wiped}, {"behind", report.behind}};
  if (report.held) out["reason"] = report.reason;
  if (report.last_run > 0) out["lastRun"] = FormatUtc(report.last_run);
  return out;
}

json StoreJson(keystore::KeyStore& store) {
  json out{{"shared", store.is_shared()}, {"leads", store.leads()}};
  // Not to be had while the database is away, which stands elsewhere in the status.
  if (const auto leader = store.Leader(); leader.has_value() && !leader.value().empty())
    out["leader"] = leader.value();
  return out;
}

}  // namespace

Result<json> ReadStatus(const AdminDependencies& deps) {
  SKMS_TRY(const std::int64_t keys, deps.store.CountKeyVersions());
  SKMS_TRY(const keystore::AuditSummary audit, deps.store.Audit());
  const hsm::TokenKeyGenerations generations = deps.module.generations();
  const auto sessions = deps.module.session_use();
  const RotationReport rotation = deps.rotation.report();
  const ApplianceState state = JudgeState(deps);
  return json{{"skms", deps.skms_id},
              {"state", Text(state.name)},
              {"reasons", state.reasons},
              {"version", deps.version},
              {"started", FormatUtc(deps.started)},
              {"time", FormatUtc(deps.clock.NowSeconds())},
              {"healthy", deps.healthy()},
              {"token", ToJson(deps.module.info())},
              {"tokenKeys",
               {{"kek", generations.kek},
                {"mac", generations.mac},
                {"sign", generations.sign},
                {"transfer", generations.transfer}}},
              {"tokenHealth", ToJson(deps.module.health())},
              {"sessions", ToJson(sessions)},
              {"rotation", RotationJson(rotation)},
              {"services", deps.store.Services().size()},
              {"principals", deps.store.Principals().size()},
              {"recipients", deps.store.Recipients().size()},
              {"issuers", deps.store.Issuers().size()},
              {"keyVersions", keys},
              {"schemaVersion", deps.store.schema_version()},
              {"store", StoreJson(deps.store)},
              {"audit", AuditJson(deps, audit)}};
}

}  // namespace skms::admin
