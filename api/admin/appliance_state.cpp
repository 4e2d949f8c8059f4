#include "api/admin/appliance_state.h"

namespace skms::admin {
namespace {

void JudgeTokens(const std::vector<hsm::TokenStatus>& tokens, std::vector<std::string>& reasons) {
  for (const hsm::TokenStatus& token : tokens) {
    const std::string name = "token '" + token.info.label + "'";
    if (!token.health.available) {
      reasons.push_back(name + " is lost: " + token.health.trouble);
    } else if (token.blank) {
      reasons.push_back(name + " holds no keys of ours; let it join: skmsctl token prepare");
    } else if (!token.holds_all) {
      reasons.push_back(name + " lacks token keys that are in use; let it join: skmsctl token prepare");
    }
  }
}

}  // namespace

std::string Text(ApplianceState::Name name) {
  return name == ApplianceState::Name::kOperational ? "operational" : "degraded";
}

ApplianceState JudgeState(const AdminDependencies& dependencies) {
  ApplianceState state;
  std::vector<std::string>& reasons = state.reasons;
  if (!dependencies.healthy()) reasons.emplace_back("a listener has ended; see the log");
  JudgeTokens(dependencies.module.tokens(), reasons);
  if (const std::string trouble = dependencies.store.StoreTrouble(); !trouble.empty())
    reasons.push_back("the database cannot be reached: " + trouble);
  if (const RotationReport rotation = dependencies.rotation.report(); rotation.held)
    reasons.push_back("rotation is held: " + rotation.reason +
                      "; when the time is right: skmsctl rotation resume");
  const RewrapReport rewrap = dependencies.token_keys.report();
  if (rewrap.phase == RewrapReport::Phase::kDamaged)
    reasons.push_back(std::to_string(rewrap.damaged) +
                      " rows cannot be brought under the token keys in use; the log names them");
  const AuditReport audit = dependencies.audit.report();
  if (audit.late)
    reasons.push_back("the audit chain is signed up to entry " + std::to_string(audit.signed_up_to) +
                      " only: " + (audit.trouble.empty() ? "it takes long" : audit.trouble));
  const AuditExportReport& exported = audit.exported;
  if (exported.late || exported.shut) {
    reasons.push_back("the export of the audit chain is " + std::to_string(exported.behind) +
                      " entries behind" +
                      (exported.trouble.empty() ? std::string() : ": " + exported.trouble) +
                      (exported.shut ? "; every request is refused until it has caught up" : ""));
  }
  if (audit.disk_low)
    reasons.push_back(
        "the database's disk has " + std::to_string(audit.free_mib) +
        " MiB left; when it is full every request is refused: make room (what skmsctl audit archive frees "
        "is used again, but not given back to the disk)");
  if (!reasons.empty()) state.name = ApplianceState::Name::kDegraded;
  return state;
}

}  // namespace skms::admin
