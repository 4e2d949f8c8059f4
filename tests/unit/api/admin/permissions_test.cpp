#include "api/admin/permissions.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "api/admin/admin_api.h"

namespace skms {

using admin::AccessOf;
using admin::AdminAccess;
using admin::Role;
using admin::RoleSet;

namespace {

constexpr uid_t kAlice = 1000;
constexpr gid_t kOperators = 800;

http::PeerCredentials PeerOf(uid_t uid, gid_t gid) { return {1234, uid, gid}; }

/// User 1001 is in the group.
std::vector<gid_t> Groups(uid_t user, gid_t primary) {
  return user == 1001 ? std::vector<gid_t>{primary, kOperators} : std::vector<gid_t>{primary};
}

AdminAccess SomeRoles() {
  AdminAccess access;
  access.with_roles = true;
  access.grants = {
      {Role::kAdmin, kAlice, {}}, {Role::kAuditor, kAlice, {}}, {Role::kOperator, {}, kOperators}};
  return access;
}

/// What the answer's cause says; empty: it may.
std::string Judged(const AdminAccess& access, std::optional<http::PeerCredentials> peer, const char* method,
                   const char* pattern, const std::string& body = "") {
  http::Request request;
  request.method = method;
  request.body = body;
  http::RequestContext context;
  context.credentials = peer;
  const http::PathValues values;
  const admin::Call call{request, context, values, {}};
  const auto refusal = admin::JudgeAccess(access, method, pattern, call);
  if (!refusal) return "";
  CHECK(refusal->answer.status == 403);
  return nlohmann::json::parse(refusal->answer.body).at("cause");
}

}  // namespace

TEST_CASE(
    "Every operation that the API serves has its row in the table of roles, and every row its operation") {
  std::set<std::pair<std::string, std::string>> served;
  for (const admin::AdminResource& one : admin::AdminResources()) {
    CAPTURE(one.pattern);
    served.emplace(one.method, one.pattern);
    const auto permission = admin::PermissionFor(one.method, one.pattern);
    REQUIRE(permission);
    CHECK_FALSE(permission->roles.empty());
    // Nobody who only looks changes anything, and nobody changes what he was not given.
    if (permission->whoever_is_known)
      CHECK((std::string(one.method) == "GET" || std::string(one.pattern) == "/admin/v1/backups/checks"));
    if (permission->roles.Holds(Role::kBackup) && !permission->roles.Holds(Role::kOperator))
      CHECK(std::string(one.pattern).find("/backups") != std::string::npos);
  }
  CHECK(served.size() == admin::AdminResources().size());
}

TEST_CASE("What has no row is nobody's, whatever his roles") {
  CHECK_FALSE(admin::PermissionFor("GET", "/admin/v1/nowhere"));
  CHECK_FALSE(admin::PermissionFor("PATCH", "/admin/v1/status"));
  CHECK(Judged(SomeRoles(), PeerOf(kAlice, 1), "POST", "/admin/v1/nowhere") == "role-missing");
  CHECK(Judged(AdminAccess{}, PeerOf(0, 0), "POST", "/admin/v1/nowhere") == "role-missing");
}

TEST_CASE("Roles come by user, by primary and by supplementary group, and add up") {
  const AdminAccess access = SomeRoles();
  CHECK(AccessOf(PeerOf(kAlice, 1), 990, access, Groups).roles == RoleSet{Role::kAdmin, Role::kAuditor});
  CHECK(AccessOf(PeerOf(1001, 1), 990, access, Groups).roles == RoleSet{Role::kOperator});
  CHECK(AccessOf(PeerOf(1002, kOperators), 990, access, Groups).roles == RoleSet{Role::kOperator});
  CHECK_FALSE(AccessOf(PeerOf(1002, 1), 990, access, Groups).known);
  CHECK_FALSE(AccessOf(std::nullopt, 990, access, Groups).known);
}

TEST_CASE(
    "With roles, root and the daemon's user have none of their own, and see only how the server fares") {
  const AdminAccess access = SomeRoles();
  for (const uid_t user : {uid_t{0}, uid_t{990}}) {
    const admin::PeerAccess peer = AccessOf(PeerOf(user, 0), 990, access, Groups);
    CHECK(peer.known);
    CHECK(peer.roles.empty());
  }
  CHECK(Judged(access, PeerOf(0, 0), "GET", "/admin/v1/status").empty());
  CHECK(Judged(access, PeerOf(0, 0), "GET", "/metrics").empty());
  CHECK(Judged(access, PeerOf(0, 0), "GET", "/admin/v1/services") == "role-missing");
  CHECK(Judged(access, PeerOf(1002, 1), "GET", "/admin/v1/status") == "not-an-administrator");
}

TEST_CASE("Without roles, whoever may use the socket has all of them") {
  AdminAccess access;
  access.admin_group = kOperators;
  CHECK(AccessOf(PeerOf(0, 0), 990, access, Groups).roles == RoleSet::All());
  CHECK(AccessOf(PeerOf(990, 0), 990, access, Groups).roles == RoleSet::All());
  CHECK(AccessOf(PeerOf(1001, 1), 990, access, Groups).roles == RoleSet::All());
  CHECK(AccessOf(PeerOf(1002, 1), 990, access, Groups).roles.empty());
}

TEST_CASE("An operator does every step of a key's life but those that end it or let it out") {
  AdminAccess access;
  access.with_roles = true;
  access.grants = {{Role::kOperator, kAlice, {}}};
  constexpr const char* kPattern = "/admin/v1/keys/{kid}/transitions";
  for (const char* step : {"suspend", "resume", "deactivate", "compromise", "withhold", "activate"}) {
    CAPTURE(step);
    CHECK(
        Judged(access, PeerOf(kAlice, 1), "POST", kPattern, nlohmann::json{{"action", step}}.dump()).empty());
  }
  for (const char* step : {"destroy", "release"}) {
    CAPTURE(step);
    const std::string body = nlohmann::json{{"action", step}}.dump();
    CHECK(Judged(access, PeerOf(kAlice, 1), "POST", kPattern, body) == "role-missing");
    access.grants[0].role = Role::kAdmin;
    CHECK(Judged(access, PeerOf(kAlice, 1), "POST", kPattern, body).empty());
    access.grants[0].role = Role::kOperator;
  }
}

TEST_CASE("A refusal names the role that is needed, the user, and what he has") {
  http::Request request;
  http::RequestContext context;
  context.credentials = PeerOf(kAlice, 1);
  const http::PathValues values;
  const admin::Call call{request, context, values, {}};
  const auto refusal = admin::JudgeAccess(SomeRoles(), "POST", "/admin/v1/token-keys/rotate", call);
  REQUIRE(refusal);
  CHECK(refusal->reason == "POST /admin/v1/token-keys/rotate: role-missing: officer");
  const std::string detail = nlohmann::json::parse(refusal->answer.body).at("detail");
  CHECK(detail.find("needs the role officer; user '") != std::string::npos);
  CHECK(detail.find("' has admin or auditor") != std::string::npos);
}

}  // namespace skms
