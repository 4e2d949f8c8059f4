// The host's users and groups that the configuration names. Pure but for the look-up; thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "api/admin/peer_access.h"
#include "appliance/config/configuration.h"
#include "base/result.h"

namespace skms::appliance {

struct HostUser {
  uid_t uid = 0;
  gid_t gid = 0;  ///< its primary group
};

/// `key` of the configuration is named in the error. Errors: kConfiguration (no such user).
Result<HostUser> FindHostUser(const std::string& key, const std::string& name);
/// Who may use the admin socket, and as what. Errors: kConfiguration (no such user or group).
Result<admin::AdminAccess> FindAdminAccess(const Configuration& configuration);

}  // namespace skms::appliance
