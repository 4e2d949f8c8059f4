// Who may use the admin socket, and as what. Pure but for the look-up of groups; thread-safe.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/admin/roles.h"
#include "api/http/message.h"
#include "base/digest.h"

namespace skms::admin {

/// All groups of a user by the host's user database; empty for a user it does not know.
std::vector<gid_t> GroupsOfUser(uid_t user, gid_t primary);

using GroupLookup = std::function<std::vector<gid_t>(uid_t user, gid_t primary)>;

/// Root, the daemon's own user, or a member of `admin_group` (by primary or supplementary group). No
/// credentials: no.
bool MayAdminister(const std::optional<http::PeerCredentials>& peer, uid_t own_user,
                   std::optional<gid_t> admin_group, const GroupLookup& groups_of = GroupsOfUser);

/// A role for one user of this host, or for the members of one of its groups.
struct RoleGrant {
  Role role = Role::kAuditor;
  std::optional<uid_t> user;
  std::optional<gid_t> group;
};

/// Whose a client certificate is.
struct RemotePerson {
  Sha256Digest key{};          ///< of its SubjectPublicKeyInfo
  http::PeerCredentials user;  ///< of this host, as if its process had connected
};

struct AdminAccess {
  std::optional<gid_t> admin_group;
  bool with_roles = false;  ///< false: whoever MayAdminister has every role
  std::vector<RoleGrant> grants;
  std::vector<RemotePerson> persons{};
};

/// Makes who comes by TLS the user that his certificate's key stands for, or nobody. One person is one user,
/// from wherever: nobody approves from afar what he asked for on the socket.
void IdentifyRemote(const AdminAccess& access, http::RequestContext& context);

struct PeerAccess {
  bool known = false;  ///< may see that the server lives and how it fares
  RoleSet roles;
};

/// With roles, root and the daemon's user are known, and have those that are granted to them, as anybody.
PeerAccess AccessOf(const std::optional<http::PeerCredentials>& peer, uid_t own_user,
                    const AdminAccess& access, const GroupLookup& groups_of = GroupsOfUser);

/// As a process of this user's would have, by his primary group; without one where the host knows no such
/// user.
std::optional<http::PeerCredentials> CredentialsOf(uid_t user);

/// The user's name on this host; his number where it has none.
std::string NameOfUser(uid_t user);

}  // namespace skms::admin
