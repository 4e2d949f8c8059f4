// Role and RoleSet: what an administrator may be. docs/administrators.md.
//
// Plain values.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace skms::admin {

enum class Role : std::uint8_t {
  kAdmin,     ///< all of an operator's, and what ends keys and changes the server
  kOperator,  ///< the day-to-day: services, principals, recipients, issuers, groups, keys
  kBackup,    ///< backups, which it cannot read
  kAuditor,   ///< reads, and the audit chain
  kOfficer,   ///< token keys, tokens, strict recipients
};
inline constexpr Role kEveryRole[] = {Role::kAdmin, Role::kOperator, Role::kBackup, Role::kAuditor,
                                      Role::kOfficer};
std::string_view RoleName(Role role);  ///< "admin", "operator", "backup", "auditor", "officer"

class RoleSet {
 public:
  constexpr RoleSet() = default;
  constexpr RoleSet(std::initializer_list<Role> roles) {
    for (const Role role : roles) Add(role);
  }
  static constexpr RoleSet All() {
    RoleSet all;
    for (const Role role : kEveryRole) all.Add(role);
    return all;
  }
  constexpr void Add(Role role) { bits_ = static_cast<std::uint8_t>(bits_ | Bit(role)); }
  constexpr bool Holds(Role role) const { return (bits_ & Bit(role)) != 0; }
  constexpr bool HoldsAnyOf(RoleSet other) const { return (bits_ & other.bits_) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const RoleSet&) const = default;
  /// "admin or operator"; of none "nobody's".
  std::string Text() const;

 private:
  static constexpr std::uint8_t Bit(Role role) {
    return static_cast<std::uint8_t>(1U << static_cast<unsigned>(role));
  }
  std::uint8_t bits_ = 0;
};

}  // namespace skms::admin
