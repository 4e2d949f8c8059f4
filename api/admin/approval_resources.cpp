#include "api/admin/approval_resources.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "api/admin/protected_operations.h"
#include "api/http/json.h"
#include "base/clock.h"
#include "base/log.h"

namespace skms::admin {
namespace {

using http::Response;
using keystore::Approval;
using keystore::PrincipalId;
using nlohmann::json;

/// 1000 of "admin:1000"; nullopt: it is no administrator.
std::optional<uid_t> UserOf(const PrincipalId& person) {
  constexpr std::string_view kPrefix = "admin:";
  if (person.value().rfind(kPrefix, 0) != 0) return std::nullopt;
  const auto user = WholeNumber(person.value().substr(kPrefix.size()));
  if (!user) return std::nullopt;
  return static_cast<uid_t>(*user);
}

/// With the name that its user has on this host now.
json PersonJson(const PrincipalId& person) {
  json out{{"actor", person.value()}};
  if (const auto user = UserOf(person)) out["name"] = NameOfUser(*user);
  return out;
}

json ToJson(const Approval& approval, std::uint32_t quorum) {
  json out{{"id", approval.id},
           {"kind", approval.order.kind},
           {"state", approval.Approved(quorum) ? "approved" : Name(approval.state)},
           {"summary", approval.order.summary},
           {"operation", approval.order.operation},
           {"digest", approval.digest},
           {"requestedBy", PersonJson(approval.requester)},
           {"approvedBy", json::array()},
           {"approvalsNeeded", approval.Needed(quorum) - 1},
           {"created", FormatUtc(approval.created)},
           {"expires", FormatUtc(approval.expires)}};
  for (const PrincipalId& one : approval.approvers) out["approvedBy"].push_back(PersonJson(one));
  if (!approval.order.body.empty()) out["body"] = approval.order.body;
  if (!approval.refused_by.empty()) out["refusedBy"] = PersonJson(approval.refused_by);
  return out;
}

Response One(const AdminDependencies& deps, const Result<Approval>& approval, const Call& call) {
  if (approval.has_error()) return Failed(approval.error(), call);
  return JsonResponse(200, ToJson(approval.value(), deps.approvals.rules.quorum));
}

Result<std::string> DigestIn(Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  BodyReader reader(body, call.invalid);
  std::string digest = reader.Text("digest", true);
  SKMS_TRYV(reader.Finish());
  return digest;
}

/// An officer decides what is an officer's to do; the rest is an admin's.
bool MayDecideAs(RoleSet roles, const std::string& kind) {
  const bool of_officers = kind == "kek" || kind == "strict-recipient" || kind == "audit-key";
  return roles.Holds(Role::kAdmin) || (of_officers && roles.Holds(Role::kOfficer));
}

Status CheckMayDecide(const AdminDependencies& deps, const Call& call, const std::string& kind) {
  if (MayDecideAs(AccessOf(call.context.credentials, ::geteuid(), deps.access).roles, kind)) return Ok();
  return Error{ErrorCode::kRoleMissing, "requests of kind '" + kind + "' are decided by the role admin"};
}

/// Whether who approved once still may: groups and roles change.
bool MayStillDecide(const AdminDependencies& deps, const PrincipalId& person, const std::string& kind) {
  if (!deps.access.with_roles) return true;
  const auto user = UserOf(person);
  return user && MayDecideAs(AccessOf(CredentialsOf(*user), ::geteuid(), deps.access).roles, kind);
}

using Decide = Result<Approval> (keystore::Approvals::*)(const keystore::Requester&, const std::string&,
                                                         const std::string&);

Result<Approval> Decided(const AdminDependencies& deps, Call& call, Decide decide) {
  SKMS_TRY(const std::string digest, DigestIn(call));
  keystore::Approvals& approvals = deps.store.approvals();
  SKMS_TRY(const Approval approval, approvals.Show(call.values[0]));
  SKMS_TRYV(CheckMayDecide(deps, call, approval.order.kind));
  return (approvals.*decide)(call.by(), call.values[0], digest);
}

bool MayBeHalfDone(const std::string& kind) { return kind == "kek" || kind == "audit-key"; }

/// Refused or failed: the approval was for something that was not done.
void GiveBack(const AdminDependencies& deps, const Call& call) {
  const Status back = deps.store.approvals().GiveBack(call.by(), *call.approval);
  if (back.has_error())
    LogError("request " + call.context.request_id + ": approval " + call.approval->id +
             " stays used: " + back.error().Describe());
}

}  // namespace

Response PerformApproved(const AdminDependencies& deps, std::string_view method, std::string_view pattern,
                         Call& call, const std::function<Response()>& perform) {
  const auto order = OrderToApprove(deps, method, pattern, call);
  if (order.has_error()) return Failed(order.error(), call);
  if (!order.value()) return perform();
  keystore::Approvals& approvals = deps.store.approvals();
  const keystore::ApprovalRules& rules = deps.approvals.rules;
  auto used = approvals.Use(
      call.by(), *order.value(), rules,
      [&](const PrincipalId& person, const std::string& kind) { return MayStillDecide(deps, person, kind); });
  if (used.has_error()) return Failed(used.error(), call);
  if (!used.value()) {
    const auto asked = approvals.Request(call.by(), *order.value(), rules);
    if (asked.has_error()) return Failed(asked.error(), call);
    return JsonResponse(202, {{"approval", ToJson(asked.value(), rules.quorum)}});
  }
  call.approval = std::move(used).value();
  Response response = perform();
  // A ceremony that broke off may have made keys.
  const bool may_be_half_done = response.status >= 500 && MayBeHalfDone(call.approval->order.kind);
  if (response.status >= 400 && !may_be_half_done) GiveBack(deps, call);
  return response;
}

Response ListApprovals(const AdminDependencies& deps, const Call& call) {
  const auto all = deps.store.approvals().List();
  if (all.has_error()) return Failed(all.error(), call);
  json list = json::array();
  for (const Approval& one : all.value()) list.push_back(ToJson(one, deps.approvals.rules.quorum));
  return JsonResponse(200, {{"approvals", std::move(list)}});
}

Response ShowApproval(const AdminDependencies& deps, const Call& call) {
  return One(deps, deps.store.approvals().Show(call.values[0]), call);
}

Response Approve(const AdminDependencies& deps, Call& call) {
  return One(deps, Decided(deps, call, &keystore::Approvals::Approve), call);
}

Response RefuseApproval(const AdminDependencies& deps, Call& call) {
  return One(deps, Decided(deps, call, &keystore::Approvals::Refuse), call);
}

Response WithdrawApproval(const AdminDependencies& deps, const Call& call) {
  return One(deps, deps.store.approvals().Withdraw(call.by(), call.values[0]), call);
}

}  // namespace skms::admin
