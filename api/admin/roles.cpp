#include "api/admin/roles.h"

namespace skms::admin {

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kAdmin:
      return "admin";
    case Role::kOperator:
      return "operator";
    case Role::kBackup:
      return "backup";
    case Role::kAuditor:
      return "auditor";
    case Role::kOfficer:
      break;
  }
  return "officer";
}

std::string RoleSet::Text() const {
  std::string text;
  for (const Role role : kEveryRole) {
    if (!Holds(role)) continue;
    if (!text.empty()) text += " or ";
    text += RoleName(role);
  }
  return text.empty() ? "nobody's" : text;
}

}  // namespace skms::admin
