#include "appliance/host_accounts.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <vector>

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

Result<std::optional<gid_t>> FindAdminGroup(const std::string& name) {
  if (name.empty()) return std::optional<gid_t>();
  std::vector<char> buffer(4096);
  group entry{};
  group* found = nullptr;
  while (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE)
    buffer.resize(buffer.size() * 2);
  if (found == nullptr) return ConfigurationError("admin.group: no group '" + name + "' on this host");
  return std::optional<gid_t>(found->gr_gid);
}

}  // namespace skms::appliance
