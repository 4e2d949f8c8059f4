// Which roles may do what: one table over every operation of the API, deny by default.
//
// Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/admin/admin_call.h"
#include "api/admin/peer_access.h"
#include "api/admin/roles.h"

namespace skms::admin {

struct Permission {
  const char* method;
  const char* pattern;
  RoleSet roles;
  bool whoever_is_known =
      false;  ///< also root and the daemon's user without any role: state, figures, and reports of drills
};

/// nullopt: nobody may.
std::optional<Permission> PermissionFor(std::string_view method, std::string_view pattern);

struct AccessRefusal {
  std::string reason;  ///< for the audit chain: fixed words and names of operations and roles
  http::Response answer;
};

/// Whether `call` of this operation may be done by who asks; nullopt: yes.
std::optional<AccessRefusal> JudgeAccess(const AdminAccess& access, std::string_view method,
                                         std::string_view pattern, const Call& call);

}  // namespace skms::admin
