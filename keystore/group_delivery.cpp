// The keys of groups: all of one, for its group server, and those that a member sees.
#include <utility>

#include "keystore/group_change.h"
#include "keystore/key_life.h"

namespace skms::keystore {

Status KeyStore::State::CheckNotRolledBack(const std::vector<StoredKeyVersion>& stored, std::int64_t revision,
                                           const GroupId& group) {
  for (const StoredKeyVersion& one : stored) {
    if (one.version.group_revision > revision)
      return IntegrityError("group '" + group.value() +
                            "' is older than its key: an old row was put back by hand");
  }
  return Ok();
}

Result<std::vector<DeliveryAnswer>> KeyStore::DeliverGroup(const Requester& by, const GroupId& id) {
  State& state = *state_;
  const auto attempt = [&]() -> Result<std::vector<DeliveryAnswer>> {
    const auto directory = state.directory->snapshot();
    State::GroupChange change(state, by, directory);
    SKMS_TRYV(change.Read(id));
    if (!change.there() || !ManagesAll(by, *directory, change.stored()->record.services))
      return NoSuchGroup();
    std::vector<DeliveryAnswer> answers;
    std::vector<AuditEntry> entries;
    for (const ValServiceId& service_id : change.stored()->record.services) {
      const Selector selector = GroupKeyOf(service_id, id);
      SKMS_TRY(std::vector<StoredKeyVersion> stored, state.CheckedVersions(selector));
      // A change that came between the two looks is waited for, not taken for tampering.
      const std::int64_t revision = change.stored()->record.revision;
      if (State::CheckNotRolledBack(stored, revision, id).has_error())
        return ChangedMeanwhile("the group changed");
      Versions versions;
      const FirstVersions& floors = change.stored()->record.floors;
      const auto floor = floors.find(service_id.value());
      for (StoredKeyVersion& one : stored) {
        if (floor == floors.end() || one.version.version >= floor->second)
          versions.push_back(std::move(one.version));
      }
      const Service& service = directory->services.at(service_id.value());
      SKMS_TRY(std::vector<DeliveredVersion> keys,
               state.WrapAll(by, service, state.DestinationOf(by, service),
                             State::Ranked(std::move(versions)), entries));
      DeliveryAnswer& answer = answers.emplace_back();
      answer.service = std::make_shared<const Service>(service);
      answer.keys = std::move(keys);
      answer.actor = by.principal.value();
    }
    AuditSummary recorded;
    SKMS_TRYV(state.Record(entries, &recorded));
    for (DeliveryAnswer& answer : answers) answer.recorded = recorded;
    return answers;
  };
  auto answers = State::WithRetries(attempt);
  if (answers.has_error()) return state.RefuseGroup(by, "deliver", id, answers.error());
  return answers;
}

Result<Versions> KeyStore::State::GroupVersionsOf(const Service& service, const GroupMember& member,
                                                  std::vector<Selector>& looked_at) {
  struct Found {
    StoredGroup group;
    std::uint32_t first = 1;
    std::vector<StoredKeyVersion> stored;
  };
  std::vector<Found> found;
  // Group, membership and key in one look: a removal that came between them would hand out its new key.
  SKMS_TRYV(database->ReadSnapshot([&](soci::session& session) -> Status {
    for (const GroupId& id : ReadGroupsOf(session, member, service.id)) {
      SKMS_TRY(std::optional<StoredGroup> group, ReadGroup(session, id));
      if (!group) return IntegrityError("group '" + id.value() + "' has members and no row");
      if (group->record.deleted || !Holds(group->record.services, service.id)) continue;
      SKMS_TRY(const auto first, ProveMember(session, group->record, member));
      if (!first) continue;
      Found one{std::move(*group), 1, {}};
      if (const auto since = first->find(service.id.value()); since != first->end())
        one.first = since->second;
      SKMS_TRY(one.stored, ReadVersions(session, GroupKeyOf(service.id, id)));
      found.push_back(std::move(one));
    }
    return Ok();
  }));
  Versions versions;
  for (Found& one : found) {
    const GroupRecord& record = one.group.record;
    looked_at.push_back(GroupKeyOf(service.id, record.id));
    SKMS_TRYV(
        answers.CheckRowMac(module, FieldsOf(record), one.group.mac, "group '" + record.id.value() + "'"));
    SKMS_TRYV(CheckNotRolledBack(one.stored, record.revision, record.id));
    for (StoredKeyVersion& stored : one.stored) {
      if (stored.version.version < one.first || UseOf(stored.version) == KeyUse::kNone) continue;
      SKMS_TRYV(answers.CheckRowMac(module, FieldsOf(stored.version), stored.mac, RowName(stored.version)));
      versions.push_back(std::move(stored.version));
    }
  }
  return versions;
}

}  // namespace skms::keystore
