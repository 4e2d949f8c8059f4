#include "keystore/groups.h"

#include <soci/soci.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/secret_bytes.h"
#include "keystore/rewrap_rows.h"

namespace skms::keystore {
namespace {

constexpr std::size_t kDigestBytes = 16;

/// One line each, for identifiers hold no control characters.
std::string Lines(const std::vector<ValServiceId>& services) {
  std::string text;
  for (const ValServiceId& service : services) text += service.value() + '\n';
  return text;
}

std::vector<std::string> SplitLines(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    lines.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return lines;
}

/// "3 uav.c2\n": version and service. Only what is past 1 is written.
std::string SinceText(const FirstVersions& first) {
  std::string text;
  for (const auto& [service, version] : first) text += std::to_string(version) + ' ' + service + '\n';
  return text;
}

std::optional<FirstVersions> ParseSince(const std::string& text) {
  FirstVersions first;
  for (const std::string& line : SplitLines(text)) {
    std::uint32_t version = 0;
    const auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), version);
    if (code != std::errc{} || end == line.data() + line.size() || *end != ' ') return std::nullopt;
    first[std::string(end + 1, line.data() + line.size())] = version;
  }
  return first;
}

std::size_t ShardOf(const GroupMember& member, std::size_t shards) {
  Bytes fields;
  AppendField(fields, Name(member.kind));
  AppendField(fields, member.id);
  return Sha256(fields)[0] % shards;  // 1, 16 and 256 divide 256
}

Bytes ShardDigest(const Membership& members) {
  Bytes fields;
  AppendField(fields, std::string_view("skms group shard v1"));
  for (const auto& [member, first] : members) {
    AppendField(fields, Name(member.kind));
    AppendField(fields, member.id);
    AppendField(fields, SinceText(first));
  }
  const Sha256Digest digest = Sha256(fields);
  return {digest.begin(), digest.begin() + kDigestBytes};
}

Error Unreadable(const std::string& group) {
  return IntegrityError("the rows of group '" + group + "' are not readable: they were changed outside skms");
}

/// Rows of `select` with kind, member and since bound.
struct MemberRow {
  std::string kind;
  std::string member;
  std::string since;
};

Status AddRow(const MemberRow& row, const std::string& group, Membership& out) {
  const auto kind = ParseTargetKind(row.kind);
  auto first = ParseSince(row.since);
  if (kind.has_error() || !first) return Unreadable(group);
  out[{kind.value(), row.member}] = std::move(*first);
  return Ok();
}

/// One row of val_groups as SOCI exchanges it.
struct GroupRow {
  std::string id, services, digests, floors;
  long long revision = 0;
  long long members = 0;
  long long created = 0;
  long long changed = 0;
  int deleted = 0;
  RowMac mac;
};

constexpr const char* kColumns =
    "id, services, revision, deleted, members, digests, floors, created, changed, mac_generation, mac";

void Bind(soci::statement& select, GroupRow& row) {
  select.exchange(soci::into(row.id));
  select.exchange(soci::into(row.services));
  select.exchange(soci::into(row.revision));
  select.exchange(soci::into(row.deleted));
  select.exchange(soci::into(row.members));
  select.exchange(soci::into(row.digests));
  select.exchange(soci::into(row.floors));
  select.exchange(soci::into(row.created));
  select.exchange(soci::into(row.changed));
  select.exchange(soci::into(row.mac.generation));
  select.exchange(soci::into(row.mac.text));
}

Result<StoredGroup> FromRow(const GroupRow& row) {
  auto digests = FromBase64Url(row.digests);
  auto floors = ParseSince(row.floors);
  if (!digests || digests->empty() || digests->size() % kDigestBytes != 0 || !floors)
    return Unreadable(row.id);
  StoredGroup out;
  out.record.id = GroupId(row.id);
  for (const std::string& line : SplitLines(row.services)) out.record.services.emplace_back(line);
  out.record.revision = row.revision;
  out.record.deleted = row.deleted != 0;
  out.record.members = row.members;
  out.record.digests = std::move(*digests);
  out.record.floors = std::move(*floors);
  out.record.created = row.created;
  out.record.changed = row.changed;
  out.mac = row.mac;
  return out;
}

}  // namespace

std::size_t GroupRecord::shards() const { return digests.size() / kDigestBytes; }

RowFields FieldsOf(const GroupRecord& record) {
  RowFields fields("val_groups v1");
  fields.Add(record.id.value())
      .Add(Lines(record.services))
      .Add(record.revision)
      .Add(std::int64_t{record.deleted ? 1 : 0})
      .Add(record.members)
      .Add(AsText(record.digests))
      .Add(SinceText(record.floors))
      .Add(record.created)
      .Add(record.changed);
  return fields;
}

std::size_t ShardsFor(std::size_t members) { return members <= 64 ? 1 : (members <= 1024 ? 16 : 256); }

void Seal(GroupRecord& record, const Membership& membership) {
  const std::size_t shards = ShardsFor(membership.size());
  std::vector<Membership> parts(shards);
  for (const auto& [member, first] : membership) parts[ShardOf(member, shards)].emplace(member, first);
  record.members = static_cast<std::int64_t>(membership.size());
  record.digests.clear();
  for (const Membership& part : parts) {
    const Bytes digest = ShardDigest(part);
    record.digests.insert(record.digests.end(), digest.begin(), digest.end());
  }
}

Result<std::optional<StoredGroup>> ReadGroup(soci::session& session, const GroupId& id) {
  GroupRow row;
  soci::statement select(session);
  Bind(select, row);
  select.exchange(soci::use(id.value()));
  select.alloc();
  select.prepare(std::string("SELECT ") + kColumns + " FROM val_groups WHERE id = :id");
  select.define_and_bind();
  if (!select.execute(true)) return std::optional<StoredGroup>();
  SKMS_TRY(StoredGroup stored, FromRow(row));
  return std::optional<StoredGroup>(std::move(stored));
}

Result<std::vector<StoredGroup>> ReadGroupPage(soci::session& session, const std::string& after, int limit) {
  std::vector<StoredGroup> page;
  GroupRow row;
  soci::statement select(session);
  Bind(select, row);
  select.exchange(soci::use(after));
  select.exchange(soci::use(limit));
  select.alloc();
  select.prepare(std::string("SELECT ") + kColumns +
                 " FROM val_groups WHERE id > :after ORDER BY id LIMIT :most");
  select.define_and_bind();
  for (bool more = select.execute(true); more; more = select.fetch()) {
    SKMS_TRY(StoredGroup stored, FromRow(row));
    page.push_back(std::move(stored));
  }
  return page;
}

Result<Membership> ReadMembership(soci::session& session, const GroupId& id) {
  Membership members;
  MemberRow row;
  soci::statement select =
      (session.prepare << "SELECT kind, member, since FROM group_members WHERE group_id = :id",
       soci::into(row.kind), soci::into(row.member), soci::into(row.since), soci::use(id.value()));
  for (bool more = select.execute(true); more; more = select.fetch()) {
    SKMS_TRYV(AddRow(row, id.value(), members));
  }
  return members;
}

std::vector<GroupId> ReadGroupsOf(soci::session& session, const GroupMember& member,
                                  const ValServiceId& service) {
  std::vector<GroupId> groups;
  std::string id;
  const std::string kind(Name(member.kind));
  // The list of services holds one a line, so a whole line is a whole name.
  const std::string line = '\n' + service.value() + '\n';
  const std::string before = "\n";
  soci::statement select =
      (session.prepare << "SELECT group_id FROM group_members JOIN val_groups ON val_groups.id = group_id"
                          " WHERE member = :member AND kind = :kind AND deleted = 0"
                          " AND replace(:before || services, :line, '') <> (:before2 || services)"
                          " ORDER BY group_id",
       soci::into(id), soci::use(member.id), soci::use(kind), soci::use(before), soci::use(line),
       soci::use(before));
  for (bool more = select.execute(true); more; more = select.fetch()) groups.emplace_back(id);
  return groups;
}

Result<std::optional<FirstVersions>> ProveMember(soci::session& session, const GroupRecord& record,
                                                 const GroupMember& member) {
  const std::size_t shard = ShardOf(member, record.shards());
  const int number = static_cast<int>(shard);
  Membership members;
  MemberRow row;
  soci::statement select =
      (session.prepare
           << "SELECT kind, member, since FROM group_members WHERE group_id = :id AND shard = :shard",
       soci::into(row.kind), soci::into(row.member), soci::into(row.since), soci::use(record.id.value()),
       soci::use(number));
  for (bool more = select.execute(true); more; more = select.fetch()) {
    SKMS_TRYV(AddRow(row, record.id.value(), members));
  }
  const ByteView wanted = ByteView(record.digests).subspan(shard * kDigestBytes, kDigestBytes);
  if (!ConstantTimeEqual(ShardDigest(members), wanted)) {
    return IntegrityError("the members of group '" + record.id.value() +
                          "' do not fit the group: they were changed outside skms");
  }
  const auto found = members.find(member);
  if (found == members.end()) return std::optional<FirstVersions>();
  return std::optional<FirstVersions>(std::move(found->second));
}

bool WriteGroup(soci::session& session, const StoredGroup& stored, std::optional<std::int64_t> former) {
  const GroupRecord& record = stored.record;
  const std::string services = Lines(record.services);
  const std::string digests = ToBase64Url(record.digests);
  const std::string floors = SinceText(record.floors);
  const long long revision = record.revision;
  const long long members = record.members;
  const long long created = record.created;
  const long long changed = record.changed;
  const int deleted = record.deleted ? 1 : 0;
  if (!former) {
    int there = 0;
    session << "SELECT count(*) FROM val_groups WHERE id = :id", soci::into(there),
        soci::use(record.id.value());
    if (there > 0) return false;
    session << "INSERT INTO val_groups (id, services, revision, deleted, members, digests, floors, created, "
               "changed,"
               " mac_generation, mac) VALUES (:id, :services, :revision, :deleted, :members, :digests, "
               ":floors, :created,"
               " :changed, :generation, :mac)",
        soci::use(record.id.value()), soci::use(services), soci::use(revision), soci::use(deleted),
        soci::use(members), soci::use(digests), soci::use(floors), soci::use(created), soci::use(changed),
        soci::use(stored.mac.generation), soci::use(stored.mac.text);
    return true;
  }
  const long long expected = *former;
  soci::statement update =
      (session.prepare
           << "UPDATE val_groups SET services = :services, revision = :revision, deleted = :deleted,"
              " members = :members, digests = :digests, floors = :floors, created = :created, changed = "
              ":changed,"
              " mac_generation = :generation, mac = :mac WHERE id = :id AND revision = :former",
       soci::use(services), soci::use(revision), soci::use(deleted), soci::use(members), soci::use(digests),
       soci::use(floors), soci::use(created), soci::use(changed), soci::use(stored.mac.generation),
       soci::use(stored.mac.text), soci::use(record.id.value()), soci::use(expected));
  update.execute(true);
  return update.get_affected_rows() == 1;
}

bool WriteGroupMac(soci::session& session, const StoredGroup& stored, const RowMac& former) {
  return ReplaceMac(session, {"val_groups", "id", stored.record.id.value()}, stored.mac, former);
}

void WriteMembership(soci::session& session, const GroupRecord& record, std::size_t former_shards,
                     const Membership& former, const Membership& wanted) {
  const std::size_t shards = record.shards();
  const bool moved = shards != former_shards;
  const std::string& id = record.id.value();
  int shard = 0;
  std::string kind, member, since;
  soci::statement remove =
      (session.prepare << "DELETE FROM group_members WHERE group_id = :id AND shard = :shard AND kind = :kind"
                          " AND member = :member",
       soci::use(id), soci::use(shard), soci::use(kind), soci::use(member));
  soci::statement insert =
      (session.prepare << "INSERT INTO group_members (group_id, shard, kind, member, since)"
                          " VALUES (:id, :shard, :kind, :member, :since)",
       soci::use(id), soci::use(shard), soci::use(kind), soci::use(member), soci::use(since));
  const auto place = [&](const GroupMember& who, std::size_t among) {
    shard = static_cast<int>(ShardOf(who, among));
    kind = Name(who.kind);
    member = who.id;
  };
  const auto stays = [&](const Membership& other, const GroupMember& who, const FirstVersions& first) {
    const auto found = other.find(who);
    return !moved && found != other.end() && found->second == first;
  };
  for (const auto& [who, first] : former) {
    if (stays(wanted, who, first)) continue;
    place(who, former_shards);
    remove.execute(true);
  }
  for (const auto& [who, first] : wanted) {
    if (stays(former, who, first)) continue;
    place(who, shards);
    since = SinceText(first);
    insert.execute(true);
  }
}

}  // namespace skms::keystore
