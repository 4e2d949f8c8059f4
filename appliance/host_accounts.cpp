#include "appliance/host_accounts.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/encoding.h"

namespace skms::appliance {

// A group with many members needs more room than any fixed buffer has.

Result<HostUser> FindHostUser(const std::string& key, const std::string& name) {
  std::vector<char> buffer(4096);
  passwd entry{};
  passwd* found = nullptr;
  while (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE)
    buffer.resize(buffer.size() * 2);
  if (found == nullptr) return ConfigurationError(key + ": no user '" + name + "' on this host");
  return HostUser{found->pw_uid, found->pw_gid};
}

namespace {

Result<gid_t> FindHostGroup(const std::string& key, const std::string& name) {
  std::vector<char> buffer(4096);
  group entry{};
  group* found = nullptr;
  while (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE)
    buffer.resize(buffer.size() * 2);
  if (found == nullptr) return ConfigurationError(key + ": no group '" + name + "' on this host");
  return found->gr_gid;
}

/// `member` is "user:NAME" or "group:NAME".
Result<admin::RoleGrant> GrantFor(admin::Role role, const std::string& member) {
  const std::string key = "roles." + std::string(RoleName(role));
  const std::size_t colon = member.find(':');
  const std::string name = member.substr(colon + 1);
  admin::RoleGrant grant{role, {}, {}};
  if (member.substr(0, colon) == "group") {
    SKMS_TRY(grant.group, FindHostGroup(key, name));
  } else {
    SKMS_TRY(const HostUser user, FindHostUser(key, name));
    grant.user = user.uid;
  }
  return grant;
}

/// `person` is "NAME:HEX".
Result<admin::RemotePerson> PersonFor(const std::string& person) {
  const std::string key = "listen_admin.persons";
  const std::size_t colon = person.find(':');
  SKMS_TRY(const HostUser user, FindHostUser(key, person.substr(0, colon)));
  if (user.uid == 0 || user.uid == ::geteuid())
    return ConfigurationError(key + ": '" + person.substr(0, colon) +
                              "' is no person's account; give each administrator one of his own");
  admin::RemotePerson out;
  const auto digest = FromHex(person.substr(colon + 1));
  if (!digest || digest->size() != out.key.size()) return ConfigurationError(key + ": not a SHA-256");
  std::copy(digest->begin(), digest->end(), out.key.begin());
  out.user.uid = user.uid;
  out.user.gid = user.gid;
  return out;
}

}  // namespace

Result<admin::AdminAccess> FindAdminAccess(const Configuration& configuration) {
  admin::AdminAccess access;
  if (!configuration.admin.group.empty()) {
    SKMS_TRY(access.admin_group, FindHostGroup("admin.group", configuration.admin.group));
  }
  const RolesSection& roles = configuration.roles;
  access.with_roles = roles.present;
  for (const auto& [role, members] :
       {std::pair(admin::Role::kAdmin, &roles.admin), std::pair(admin::Role::kOperator, &roles.operators),
        std::pair(admin::Role::kBackup, &roles.backup), std::pair(admin::Role::kAuditor, &roles.auditor),
        std::pair(admin::Role::kOfficer, &roles.officer)}) {
    for (const std::string& member : *members) {
      SKMS_TRY(const admin::RoleGrant grant, GrantFor(role, member));
      access.grants.push_back(grant);
    }
  }
  for (const std::string& person : configuration.listen_admin.persons) {
    SKMS_TRY(admin::RemotePerson found, PersonFor(person));
    access.persons.push_back(found);
  }
  return access;
}

}  // namespace skms::appliance
