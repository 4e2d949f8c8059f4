#include "api/admin/peer_access.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>

namespace skms::admin {

std::vector<gid_t> GroupsOfUser(uid_t user, gid_t primary) {
  std::vector<char> buffer(4096);
  passwd entry{};
  passwd* found = nullptr;
  while (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) == ERANGE) {
    buffer.resize(buffer.size() * 2);
  }
  if (found == nullptr) return {};
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (::getgrouplist(entry.pw_name, primary, groups.data(), &count) < 0) {
    count = std::max(count, static_cast<int>(groups.size()) * 2);
    groups.resize(static_cast<std::size_t>(count));
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

bool MayAdminister(const std::optional<http::PeerCredentials>& peer, uid_t own_user,
                   std::optional<gid_t> admin_group, const GroupLookup& groups_of) {
  if (!peer) return false;
  if (peer->uid == 0 || peer->uid == own_user) return true;
  if (!admin_group) return false;
  if (peer->gid == *admin_group) return true;
  const std::vector<gid_t> groups = groups_of(peer->uid, peer->gid);
  return std::find(groups.begin(), groups.end(), *admin_group) != groups.end();
}

}  // namespace skms::admin
