#include "api/admin/permissions.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "api/auth/certificate.h"
#include "api/http/json.h"
#include "api/http/negotiation.h"
#include "api/http/problem_details.h"
#include "base/digest.h"
#include "base/encoding.h"

namespace skms::admin {
namespace {

constexpr RoleSet kAll = RoleSet::All();
constexpr RoleSet kReaders{Role::kAdmin, Role::kOperator, Role::kAuditor, Role::kOfficer};
constexpr RoleSet kOperators{Role::kAdmin, Role::kOperator};
constexpr RoleSet kAdmins{Role::kAdmin};
constexpr RoleSet kOfficers{Role::kOfficer};
constexpr RoleSet kAdminsAndOfficers{Role::kAdmin, Role::kOfficer};
constexpr RoleSet kAuditors{Role::kAdmin, Role::kAuditor};
constexpr RoleSet kBackups{Role::kAdmin, Role::kBackup};

// api/openapi/skms_admin.yaml says the same as x-roles, and a test holds the two together.
constexpr Permission kPermissions[] = {
    {"GET", "/healthz", kAll, true},
    {"GET", "/readyz", kAll, true},
    {"GET", "/metrics", kAll, true},
    {"GET", "/status", kAll, true},
    {"GET", "/admin/v1/status", kAll, true},
    {"POST", "/admin/v1/unlock", kAdminsAndOfficers},
    {"GET", "/admin/v1/audit/verification", kReaders},
    {"GET", "/admin/v1/audit/chain", kReaders},
    {"POST", "/admin/v1/audit/search", kReaders},
    {"GET", "/admin/v1/audit/keys", kAll},
    {"POST", "/admin/v1/audit/checkpoints", kAuditors},
    {"POST", "/admin/v1/audit/archives", kAuditors},
    {"POST", "/admin/v1/backups", kBackups},
    // A drill runs as the daemon's user, and its report counts by the token's signature alone.
    {"POST", "/admin/v1/backups/checks", kAll, true},
    {"GET", "/admin/v1/backups/{id}/content", kBackups},
    {"DELETE", "/admin/v1/backups/{id}", kBackups},
    {"POST", "/admin/v1/backups/restorations", kBackups},
    {"GET", "/admin/v1/approvals", kAll},
    {"GET", "/admin/v1/approvals/{id}", kAll},
    {"POST", "/admin/v1/approvals/{id}/approve", kAdminsAndOfficers},
    {"POST", "/admin/v1/approvals/{id}/refuse", kAdminsAndOfficers},
    {"POST", "/admin/v1/approvals/{id}/withdraw", kAll},
    {"GET", "/admin/v1/subscriptions", kReaders},
    {"DELETE", "/admin/v1/subscriptions/{id}", kOperators},
    {"GET", "/admin/v1/groups", kReaders},
    {"GET", "/admin/v1/groups/{id}", kReaders},
    {"POST", "/admin/v1/groups/{id}/rekey", kOperators},
    {"DELETE", "/admin/v1/groups/{id}", kOperators},
    {"POST", "/admin/v1/rotation/resume", kOperators},
    {"GET", "/admin/v1/tokens", kAll, true},
    {"GET", "/admin/v1/tokens/{label}/join-key", kReaders},
    {"POST", "/admin/v1/tokens/{label}/join", kOfficers},
    {"GET", "/admin/v1/token-keys", kReaders},
    {"POST", "/admin/v1/token-keys/rotate", kOfficers},
    {"POST", "/admin/v1/token-keys/retire", kOfficers},
    {"GET", "/admin/v1/token", kAll, true},
    {"POST", "/admin/v1/token/strict", kOfficers},
    {"GET", "/admin/v1/transfer-key", kReaders},
    {"GET", "/admin/v1/services", kReaders},
    {"POST", "/admin/v1/services", kOperators},
    {"GET", "/admin/v1/services/{id}", kReaders},
    {"PUT", "/admin/v1/services/{id}", kOperators},
    {"DELETE", "/admin/v1/services/{id}", kOperators},
    {"GET", "/admin/v1/principals", kReaders},
    {"POST", "/admin/v1/principals", kOperators},
    {"DELETE", "/admin/v1/principals/{id}", kOperators},
    {"GET", "/admin/v1/recipients", kReaders},
    {"POST", "/admin/v1/recipients", kOperators},
    {"DELETE", "/admin/v1/recipients/{id}", kOperators},
    {"GET", "/admin/v1/issuers", kReaders},
    {"POST", "/admin/v1/issuers", kOperators},
    {"DELETE", "/admin/v1/issuers/{id}", kOperators},
    {"POST", "/admin/v1/issuers/{id}/keys", kOperators},
    {"GET", "/admin/v1/payloads", kReaders},
    {"DELETE", "/admin/v1/payloads/{id}", kAdmins},
    {"GET", "/admin/v1/keys", kReaders},
    {"POST", "/admin/v1/keys/rotate", kOperators},
    {"GET", "/admin/v1/keys/{kid}", kReaders},
    {"POST", "/admin/v1/keys/{kid}/transitions", kOperators},
};

/// Two steps of a key's life are not of the day-to-day: they end it, or let out what may be known to others.
bool IsAdminsStep(std::string_view pattern, const Call& call) {
  if (pattern != "/admin/v1/keys/{kid}/transitions") return false;
  const auto body = http::ParseJson(call.request.body);
  // What is no step at all is refused as such.
  if (body.has_error() || !body.value().is_object() || !body.value().contains("action")) return false;
  const nlohmann::json& action = body.value()["action"];
  return action == "destroy" || action == "release";
}

/// Who comes from afar is told what to ask for: the key is his own.
AccessRefusal UnknownKey(const Call& call) {
  http::ProblemDetails problem = http::ProblemFor(ErrorCode::kPermissionDenied);
  problem.detail = "no administrator of this server has this certificate's key";
  const auto facts = auth::ReadCertificate(call.context.certificate->der);
  if (facts)
    problem.detail +=
        ", sha256 " + ToHex(Sha256(facts->spki)) + "; it would stand in listen_admin.persons of skms.yaml";
  problem.cause = "not-an-administrator";
  return {problem.cause, http::ToResponse(problem, call.context.request_id)};
}

AccessRefusal Unknown(const AdminAccess& access, const Call& call) {
  if (!call.context.credentials && call.context.certificate) return UnknownKey(call);
  if (!access.with_roles || !call.context.credentials)
    return {"not-an-administrator", NotAnAdministrator(call)};
  http::ProblemDetails problem = http::ProblemFor(ErrorCode::kPermissionDenied);
  problem.detail = "user '" + NameOfUser(call.context.credentials->uid) +
                   "' has no role; section 'roles' of skms.yaml says who has one";
  problem.cause = "not-an-administrator";
  return {problem.cause, http::ToResponse(problem, call.context.request_id)};
}

}  // namespace

std::optional<Permission> PermissionFor(std::string_view method, std::string_view pattern) {
  for (const Permission& one : kPermissions) {
    if (method == one.method && pattern == one.pattern) return one;
  }
  return std::nullopt;
}

/// A browser that holds an administrator's certificate shows it for every page that is open in it. Ours sends
/// no such fields; browsers send them by themselves.
bool IsOfAnotherSite(const Call& call) {
  const http::Headers& fields = call.request.headers;
  const std::string* site = fields.Find("Sec-Fetch-Site");
  if (site != nullptr && *site != "none" && *site != "same-origin") return true;
  if (call.request.method == "GET" || call.request.method == "HEAD") return false;
  if (fields.Find("Origin") != nullptr) return true;
  // A form, or text, is sent without asking whether it may be.
  return call.context.transport == http::TransportKind::kDirectTls && call.request.method != "DELETE" &&
         !http::HasJsonBody(call.request);
}

AccessRefusal AnotherSite(const Call& call) {
  http::ProblemDetails problem = http::ProblemFor(ErrorCode::kPermissionDenied);
  problem.detail =
      "this looks like another site's page in a browser; send Content-Type: application/json, and no Origin";
  problem.cause = "cross-site";
  return {problem.cause, http::ToResponse(problem, call.context.request_id)};
}

std::optional<AccessRefusal> JudgeAccess(const AdminAccess& access, std::string_view method,
                                         std::string_view pattern, const Call& call) {
  if (IsOfAnotherSite(call)) return AnotherSite(call);
  const PeerAccess peer = AccessOf(call.context.credentials, ::geteuid(), access);
  if (!peer.known) return Unknown(access, call);
  const Permission permission = PermissionFor(method, pattern).value_or(Permission{"", "", {}});
  if (permission.whoever_is_known) return std::nullopt;
  const RoleSet needed = IsAdminsStep(pattern, call) ? kAdmins : permission.roles;
  if (peer.roles.HoldsAnyOf(needed)) return std::nullopt;
  const std::string operation = std::string(method) + " " + std::string(pattern);
  const std::string role = needed.Text();
  const std::string user = NameOfUser(call.context.credentials->uid);
  const std::string has = peer.roles.empty() ? "none" : peer.roles.Text();
  return AccessRefusal{
      operation + ": role-missing: " + role,
      Failed({ErrorCode::kRoleMissing, "this needs the role " + role + "; user '" + user + "' has " + has},
             call)};
}

}  // namespace skms::admin
