#include "api/admin/peer_access.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>

#include "api/auth/certificate.h"

namespace skms::admin {

namespace {

struct HostUser {
  std::string name;
  gid_t gid = 0;  ///< its primary group
};

/// nullopt: this host has no such user.
std::optional<HostUser> FindUser(uid_t user) {
  std::vector<char> buffer(4096);
  passwd entry{};
  passwd* found = nullptr;
  while (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) == ERANGE) {
    buffer.resize(buffer.size() * 2);
  }
  if (found == nullptr) return std::nullopt;
  return HostUser{found->pw_name, found->pw_gid};
}

bool Holds(const std::vector<gid_t>& groups, gid_t group) {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

}  // namespace

std::vector<gid_t> GroupsOfUser(uid_t user, gid_t primary) {
  const std::optional<HostUser> found = FindUser(user);
  if (!found) return {};
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (::getgrouplist(found->name.c_str(), primary, groups.data(), &count) < 0) {
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
  return Holds(groups_of(peer->uid, peer->gid), *admin_group);
}

PeerAccess AccessOf(const std::optional<http::PeerCredentials>& peer, uid_t own_user,
                    const AdminAccess& access, const GroupLookup& groups_of) {
  PeerAccess out;
  if (!access.with_roles) {
    out.known = MayAdminister(peer, own_user, access.admin_group, groups_of);
    if (out.known) out.roles = RoleSet::All();
    return out;
  }
  if (!peer) return out;
  std::optional<std::vector<gid_t>> groups;  // looked up once, and where a group is named
  for (const RoleGrant& grant : access.grants) {
    if (grant.user == peer->uid) out.roles.Add(grant.role);
    if (!grant.group) continue;
    if (!groups) groups = groups_of(peer->uid, peer->gid);
    if (*grant.group == peer->gid || Holds(*groups, *grant.group)) out.roles.Add(grant.role);
  }
  out.known = !out.roles.empty() || peer->uid == 0 || peer->uid == own_user;
  return out;
}

void IdentifyRemote(const AdminAccess& access, http::RequestContext& context) {
  if (context.transport != http::TransportKind::kDirectTls) return;
  context.credentials.reset();
  if (!context.certificate) return;
  const auto facts = auth::ReadCertificate(context.certificate->der);
  if (!facts) return;
  const Sha256Digest key = Sha256(facts->spki);
  for (const RemotePerson& person : access.persons) {
    if (person.key == key) context.credentials = person.user;
  }
}

std::optional<http::PeerCredentials> CredentialsOf(uid_t user) {
  const std::optional<HostUser> found = FindUser(user);
  if (!found) return std::nullopt;
  return http::PeerCredentials{0, user, found->gid};
}

std::string NameOfUser(uid_t user) {
  const std::optional<HostUser> found = FindUser(user);
  return found ? found->name : std::to_string(user);
}

}  // namespace skms::admin
