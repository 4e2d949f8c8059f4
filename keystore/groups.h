// Groups: who is in a VAL group, and from which version of its key on (TS 23.434 10.3 and 13.3, SEAL-X1).
//
// Members stand in rows of their own, in shards; the group's row holds a digest of each shard and is covered
// by a MAC of the token. So one membership is proven by reading one shard (at most some dozens of rows), and
// a member who was removed cannot be put back by writing his old row again. Plain values and functions over a
// connection; they throw SOCI's exceptions.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "keystore/database.h"
#include "keystore/identifiers.h"
#include "keystore/row_mac.h"

namespace soci {
class session;
}

namespace skms::keystore {

inline constexpr std::size_t kMaxGroupMembers = 10000;
inline constexpr std::size_t kMaxGroupServices = 16;

/// ValTargetUe: a VAL user or a VAL UE.
struct GroupMember {
  TargetKind kind = TargetKind::kUser;  ///< kUser or kUe
  std::string id;
  auto operator<=>(const GroupMember&) const = default;  // NOLINT(modernize-use-nullptr): seen in <=>
};

/// The first version of each service's group key that a member sees; a service that is not there: 1.
using FirstVersions = std::map<std::string, std::uint32_t>;

/// Sorted by member.
using Membership = std::map<GroupMember, FirstVersions>;

/// The group's own row.
struct GroupRecord {
  GroupId id;
  std::vector<ValServiceId> services;  ///< sorted
  std::int64_t revision = 0;           ///< grows with every change; the entity tag
  bool deleted = false;                ///< a tombstone: the id keeps its revision and its keys' past
  std::int64_t members = 0;
  Bytes digests;             ///< 16 bytes for each shard
  FirstVersions floors;      ///< of each service, the first version that is this group's at all
  std::int64_t created = 0;  ///< seconds since 1970
  std::int64_t changed = 0;

  std::size_t shards() const;
};

struct StoredGroup {
  GroupRecord record;
  RowMac mac;
};

RowFields FieldsOf(const GroupRecord& record);

/// How many shards hold so many members: 1, 16 or 256.
std::size_t ShardsFor(std::size_t members);
/// Sets `record.members` and `record.digests`.
void Seal(GroupRecord& record, const Membership& membership);

// Reading; nothing is checked but that rows are readable (kIntegrity).
Result<std::optional<StoredGroup>> ReadGroup(soci::session& session, const GroupId& id);
Result<Membership> ReadMembership(soci::session& session, const GroupId& id);
Result<std::vector<StoredGroup>> ReadGroupPage(soci::session& session, const std::string& after, int limit);
/// Ids of the groups of the service that have a row for this member.
std::vector<GroupId> ReadGroupsOf(soci::session& session, const GroupMember& member,
                                  const ValServiceId& service);

/// The member's first versions, proven by his shard's digest; nullopt: he is not in it. Worth as much as
/// `record`, whose MAC the caller checks. kIntegrity: the shard's rows were changed by hand.
Result<std::optional<FirstVersions>> ProveMember(soci::session& session, const GroupRecord& record,
                                                 const GroupMember& member);

// Within a write transaction.
/// Writes the row of a new group, or over the row of revision `former`. False: somebody else changed it
/// first.
bool WriteGroup(soci::session& session, const StoredGroup& stored, std::optional<std::int64_t> former);
/// The MAC alone. False: it is not what `former` was the MAC of.
bool WriteGroupMac(soci::session& session, const StoredGroup& stored, const RowMac& former);
/// Brings the members' rows from `former` (in `former_shards` shards) to `wanted`.
void WriteMembership(soci::session& session, const GroupRecord& record, std::size_t former_shards,
                     const Membership& former, const Membership& wanted);

}  // namespace skms::keystore
