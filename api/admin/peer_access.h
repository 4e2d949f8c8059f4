// Who may use the admin socket. Pure but for the look-up of groups; thread-safe.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <vector>

#include "api/http/message.h"

namespace skms::admin {

/// All groups of a user by the host's user database; empty for a user it does not know.
std::vector<gid_t> GroupsOfUser(uid_t user, gid_t primary);

using GroupLookup = std::function<std::vector<gid_t>(uid_t user, gid_t primary)>;

/// Root, the daemon's own user, or a member of `admin_group` (by primary or supplementary group). No
/// credentials: no.
bool MayAdminister(const std::optional<http::PeerCredentials>& peer, uid_t own_user,
                   std::optional<gid_t> admin_group, const GroupLookup& groups_of = GroupsOfUser);

}  // namespace skms::admin
