// Groups of SEAL-X1: who may change them, when their keys change with them, and what a member sees.

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "keystore/directory_rows.h"
#include "keystore/key_life.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

Selector KeyOf(const ValServiceId& service, const GroupId& group) {
  return {service, TargetKind::kGroup, group.value()};
}

/// A service that another server has is nobody's to manage here, nor one that his token does not name.
bool Manages(const Requester& by, const Service& service) {
  if (by.administrator) return true;
  if (!service.access.home.empty() || !Holds(service.group_servers, by.principal)) return false;
  return !by.token_services || Holds(*by.token_services, service.id.value());
}

/// Does he manage every service of the group? One he does not manage may be another's secret.
bool ManagesAll(const Requester& by, const DirectorySnapshot& directory,
                const std::vector<ValServiceId>& services) {
  return by.administrator || std::all_of(services.begin(), services.end(), [&](const ValServiceId& id) {
           const auto found = directory.services.find(id.value());
           return found != directory.services.end() && Manages(by, found->second);
         });
}

Error NoSuchGroup() { return NotFound("there is no such group, or none for this requester"); }

Status CheckDocument(const Requester& by, const DirectorySnapshot& directory, const GroupDocument& document) {
  SKMS_TRYV(CheckIdentifier("a group id", document.id.value()));
  if (document.services.empty() || document.services.size() > kMaxGroupServices)
    return InvalidArgument("a group has 1 to " + std::to_string(kMaxGroupServices) + " services");
  if (document.members.empty() || document.members.size() > kMaxGroupMembers)
    return InvalidArgument("a group has 1 to " + std::to_string(kMaxGroupMembers) + " members");
  const std::set<std::string> distinct = [&] {
    std::set<std::string> ids;
    for (const ValServiceId& id : document.services) ids.insert(id.value());
    return ids;
  }();
  if (distinct.size() != document.services.size()) return InvalidArgument("a service stands twice");
  for (const ValServiceId& id : document.services) {
    const auto found = directory.services.find(id.value());
    // One that is not there and one that he may not use look alike.
    if (found == directory.services.end() || !Manages(by, found->second) ||
        !found->second.HasScope(TargetKind::kGroup))
      return InvalidArgument("a service is none that this group server may use");
  }
  for (const GroupMember& member : document.members) {
    if (member.kind != TargetKind::kUser && member.kind != TargetKind::kUe)
      return InvalidArgument("a member is a user or a UE");
    SKMS_TRYV(CheckIdentifier("a member", member.id));
  }
  return Ok();
}

Status CheckPrecondition(const std::optional<StoredGroup>& stored, const GroupPrecondition& precondition,
                         bool administrator) {
  const bool there = stored && !stored->record.deleted;
  if (!there) {
    if (!precondition.revision) return Ok();
    return Error{ErrorCode::kPreconditionFailed, "the group is not there"};
  }
  if (administrator && !precondition.revision) return Ok();
  if (!precondition.revision)
    return Error{ErrorCode::kPreconditionRequired, "the group is there; its change needs If-Match"};
  if (*precondition.revision == stored->record.revision) return Ok();
  return Error{ErrorCode::kPreconditionFailed, "the group has changed since"};
}

/// The newest version's number, and which one protects.
std::uint32_t NumberNow(const std::vector<StoredKeyVersion>& stored) {
  for (const StoredKeyVersion& one : stored) {
    if (one.version.state == KeyState::kActive) return one.version.version;
  }
  return stored.empty() ? 1 : stored.front().version.version;
}

}  // namespace

/// A change of one group while it is made: what there is, what shall be, and the key changes in between.
class KeyStore::State::GroupChange {
 public:
  GroupChange(State& state, const Requester& by, std::shared_ptr<const DirectorySnapshot> directory)
      : state_(state), by_(by), directory_(std::move(directory)), now_(state.clock.NowSeconds()) {}

  /// Reads and checks what there is.
  Status Read(const GroupId& id) {
    SKMS_TRYV(state_.database->ReadSnapshot([&](soci::session& session) -> Status {
      SKMS_TRY(stored_, ReadGroup(session, id));
      if (!stored_) return Ok();
      SKMS_TRY(former_, ReadMembership(session, id));
      return Ok();
    }));
    record_.id = id;
    record_.created = now_;
    if (!stored_) return Ok();
    SKMS_TRYV(
        CheckRowMac(state_.module, FieldsOf(stored_->record), stored_->mac, "group '" + id.value() + "'"));
    GroupRecord sealed = stored_->record;
    Seal(sealed, former_);
    if (sealed.digests != stored_->record.digests || sealed.members != stored_->record.members)
      return IntegrityError("the members of group '" + id.value() + "' were changed outside skms");
    record_.revision = stored_->record.revision;
    record_.created = stored_->record.deleted ? now_ : stored_->record.created;
    return Ok();
  }

  const std::optional<StoredGroup>& stored() const { return stored_; }
  const Membership& former() const { return former_; }
  bool there() const { return stored_ && !stored_->record.deleted; }

  /// Becomes what `document` says. False: it is so already.
  Result<bool> Become(const GroupDocument& document) {
    record_.services = document.services;
    std::sort(record_.services.begin(), record_.services.end());
    std::set<GroupMember> wanted(document.members.begin(), document.members.end());
    if (wanted.size() != document.members.size()) return InvalidArgument("a member stands twice");
    bool removed = false;
    bool added = false;
    for (const auto& [member, first] : former_) removed = removed || wanted.count(member) == 0;
    for (const GroupMember& member : wanted) added = added || former_.count(member) == 0;
    if (there() && !removed && !added && record_.services == stored_->record.services) return false;
    ++record_.revision;
    record_.changed = now_;
    if (there()) record_.floors = stored_->record.floors;
    SKMS_TRYV(ChangeKeys(removed, added));
    std::erase_if(record_.floors, [&](const auto& entry) {
      return entry.second <= 1 || !Holds(record_.services, ValServiceId(entry.first));
    });
    for (const GroupMember& member : wanted) {
      const auto present = former_.find(member);
      FirstVersions first = present == former_.end() ? first_for_new_ : present->second;
      for (const auto& [service, floor] : record_.floors) first[service] = std::max(first[service], floor);
      std::erase_if(first, [](const auto& entry) { return entry.second <= 1; });
      wanted_[member] = std::move(first);
    }
    Seal(record_, wanted_);
    return true;
  }

  /// Becomes a tombstone.
  Status End() {
    record_.services = stored_->record.services;
    record_.deleted = true;
    ++record_.revision;
    record_.changed = now_;
    for (const ValServiceId& service : record_.services)
      SKMS_TRYV(ChangeKey(service, true, "the group was deleted", true));
    Seal(record_, wanted_);
    return Ok();
  }

  /// New keys for every service; the group stays as it is.
  Status Rekey(const std::string& reason) {
    record_ = stored_->record;
    for (const ValServiceId& service : record_.services) SKMS_TRYV(ChangeKey(service, true, reason));
    return Ok();
  }

  Status Commit(const char* action, const std::string& what, bool with_group) {
    StoredGroup next{record_, {}};
    SKMS_TRY(next.mac, MakeRowMac(state_.module, FieldsOf(record_)));
    AuditEntry entry = state_.EntryFor(by_, action, {ValServiceId(), TargetKind::kGroup, record_.id.value()});
    entry.reason = "group=" + record_.id.value() + " " + what;
    set_.entries.insert(set_.entries.begin(), std::move(entry));
    const std::vector<Selector> concerned = Concerned();
    const DeliveryCache::Change changing(state_.deliveries, concerned);
    const DatabaseWork write = [&](soci::session& session) -> Status {
      for (const auto& [selector, number] : seen_) {
        if (ProtectingNumber(session, selector) != number)
          return ChangedMeanwhile("the group's key changed meanwhile");
      }
      if (with_group) {
        std::optional<std::int64_t> former;
        if (stored_) former = stored_->record.revision;
        if (!WriteGroup(session, next, former)) return ChangedMeanwhile("the group changed meanwhile");
        WriteMembership(session, record_, stored_ ? stored_->record.shards() : record_.shards(), former_,
                        wanted_);
      }
      return Apply(session, state_.clock, set_);
    };
    SKMS_TRYV(state_.database->Write(write, Touches::kWhatTheCallerTells, changing.places()));
    ++state_.changes_by_hand;
    if (!set_.wipes()) return Ok();
    state_.log_holds_wiped_ = true;
    // A reader may hold the log just now; the scheduler empties it then.
    if (const Status emptied = state_.EmptyLogOfWiped(); emptied.has_error())
      LogWarning("groups: " + emptied.error().detail + "; tried again by the scheduler");
    return Ok();
  }

  /// Whose answers may be others now: the group's own, and its members', also of those who come or go, and of
  /// services that do.
  std::vector<Selector> Concerned() const {
    std::vector<Selector> out = set_.selectors();
    std::vector<ValServiceId> services = record_.services;
    if (stored_) {
      const std::vector<ValServiceId>& before = stored_->record.services;
      services.insert(services.end(), before.begin(), before.end());
    }
    for (const ValServiceId& service : services) {
      out.push_back(KeyOf(service, record_.id));
      for (const Membership* members : {&former_, &wanted_}) {
        for (const auto& [member, first] : *members) out.push_back({service, member.kind, member.id});
      }
    }
    return out;
  }

  GroupChanged Outcome() const {
    GroupChanged outcome;
    outcome.record = record_;
    outcome.created = !there();
    outcome.rekeyed = rekeyed_;
    for (const KeyChangeSet::Insert& insert : set_.inserts) {
      if (!Holds(record_.services, insert.row.version.selector.service)) continue;
      outcome.keys.push_back(insert.row.version);
      outcome.keys.back().wrapped.bytes.clear();
    }
    return outcome;
  }

 private:
  Status ChangeKeys(bool removed, bool added) {
    for (const ValServiceId& id : record_.services) {
      const Service& service = directory_->services.at(id.value());
      const bool joins = !there() || !Holds(stored_->record.services, id);
      const bool rekey = joins || removed || (added && service.join == JoinPolicy::kRekey);
      SKMS_TRY(
          const std::uint32_t current,
          ChangeKey(id, rekey,
                    removed ? "a member was removed" : (joins ? "the group was made" : "a member joined")));
      if (service.join != JoinPolicy::kAllVersions) first_for_new_[id.value()] = current;
      // What was said before this group had this service belongs to an earlier one, and to nobody of this.
      if (joins) record_.floors[id.value()] = current;
    }
    if (!there()) return Ok();
    for (const ValServiceId& id : stored_->record.services) {
      if (!Holds(record_.services, id)) SKMS_TRYV(ChangeKey(id, true, "the service left the group", true));
    }
    return Ok();
  }

  /// The number of the version that protects afterwards. Version 1 is made where there is none.
  Result<std::uint32_t> ChangeKey(const ValServiceId& id, bool rekey, const std::string& reason,
                                  bool last = false) {
    const auto found = directory_->services.find(id.value());
    if (found == directory_->services.end())
      return NotFound("service '" + id.value() + "' of the group is gone");
    const Selector selector = KeyOf(id, record_.id);
    SKMS_TRY(std::vector<StoredKeyVersion> stored, state_.CheckedVersions(selector));
    if (CheckNotRolledBack(stored, stored_ ? stored_->record.revision : 0, record_.id).has_error())
      return ChangedMeanwhile("the group's key is newer than the group");
    if (!stored.empty() && !rekey) {
      // The version that a newcomer begins with must still be the one that protects when he is written in.
      const std::uint32_t current = NumberNow(stored);
      seen_.emplace_back(selector, current);
      return current;
    }
    const RotationPolicy& policy = found->second.rotation;
    Versions versions;
    for (const StoredKeyVersion& one : stored) versions.push_back(one.version);
    rekeyed_ = rekeyed_ || !stored.empty();
    RotationPlan plan =
        stored.empty() ? PlanRotateNow(policy, versions, now_) : PlanRekey(policy, versions, now_);
    if (last) {
      plan.next->last = true;
      plan.next->not_after.reset();
    }
    const std::uint32_t number = plan.next->number;
    const Planned planned{found->second, selector, std::move(stored), "rekey", reason, record_.revision};
    SKMS_TRYV(state_.AddPlan(set_, by_, planned, plan));
    return number;
  }

  State& state_;
  const Requester& by_;
  const std::shared_ptr<const DirectorySnapshot> directory_;
  const std::int64_t now_;
  std::optional<StoredGroup> stored_;
  Membership former_;
  Membership wanted_;
  GroupRecord record_;
  FirstVersions first_for_new_;
  std::vector<std::pair<Selector, std::uint32_t>> seen_;
  KeyChangeSet set_;
  bool rekeyed_ = false;
};

Status KeyStore::State::CheckNotRolledBack(const std::vector<StoredKeyVersion>& stored, std::int64_t revision,
                                           const GroupId& group) {
  for (const StoredKeyVersion& one : stored) {
    if (one.version.group_revision > revision)
      return IntegrityError("group '" + group.value() +
                            "' is older than its key: an old row was put back by hand");
  }
  return Ok();
}

Error KeyStore::State::RefuseGroup(const Requester& by, const char* action, const GroupId& id,
                                   const Error& error) {
  AuditEntry entry = EntryFor(by, action, {ValServiceId(), TargetKind::kGroup, id.value()});
  return Refuse(std::move(entry), std::string(Name(error.code)), error);
}

Result<GroupChanged> KeyStore::PutGroup(const Requester& by, const GroupDocument& document,
                                        const GroupPrecondition& precondition) {
  State& state = *state_;
  const auto attempt = [&]() -> Result<GroupChanged> {
    const auto directory = state.directory->snapshot();
    State::GroupChange change(state, by, directory);
    SKMS_TRYV(CheckIdentifier("a group id", document.id.value()));
    SKMS_TRYV(change.Read(document.id));
    if (change.there() && !ManagesAll(by, *directory, change.stored()->record.services)) return NoSuchGroup();
    SKMS_TRYV(CheckPrecondition(change.stored(), precondition, by.administrator));
    SKMS_TRYV(CheckDocument(by, *directory, document));
    SKMS_TRY(const bool changes, change.Become(document));
    if (!changes) {
      GroupChanged same;
      same.record = change.stored()->record;
      return same;
    }
    SKMS_TRYV(change.Commit("group.put", "members=" + std::to_string(document.members.size()), true));
    return change.Outcome();
  };
  auto changed = State::WithRetries(attempt);
  if (changed.has_error()) return state.RefuseGroup(by, "group.put", document.id, changed.error());
  return changed;
}

Result<GroupChanged> KeyStore::DeleteGroup(const Requester& by, const GroupId& id,
                                           const GroupPrecondition& precondition, bool dry_run) {
  State& state = *state_;
  const auto attempt = [&]() -> Result<GroupChanged> {
    const auto directory = state.directory->snapshot();
    State::GroupChange change(state, by, directory);
    SKMS_TRYV(change.Read(id));
    if (!change.there() || !ManagesAll(by, *directory, change.stored()->record.services))
      return NoSuchGroup();
    SKMS_TRYV(CheckPrecondition(change.stored(), precondition, by.administrator));
    if (dry_run) {
      GroupChanged same;
      same.record = change.stored()->record;
      return same;
    }
    SKMS_TRYV(change.End());
    SKMS_TRYV(change.Commit("group.delete", "members=" + std::to_string(change.former().size()), true));
    return change.Outcome();
  };
  auto changed = State::WithRetries(attempt);
  if (changed.has_error()) return state.RefuseGroup(by, "group.delete", id, changed.error());
  return changed;
}

Result<GroupChanged> KeyStore::RekeyGroup(const Requester& by, const GroupId& id, const std::string& reason,
                                          const GroupPrecondition& precondition) {
  State& state = *state_;
  const auto attempt = [&]() -> Result<GroupChanged> {
    SKMS_TRYV(CheckIdentifier("a reason", reason));
    const auto directory = state.directory->snapshot();
    State::GroupChange change(state, by, directory);
    SKMS_TRYV(change.Read(id));
    if (!change.there() || !ManagesAll(by, *directory, change.stored()->record.services))
      return NoSuchGroup();
    if (precondition.revision) SKMS_TRYV(CheckPrecondition(change.stored(), precondition, false));
    SKMS_TRYV(change.Rekey(reason));
    SKMS_TRYV(change.Commit("group.rekey", reason, false));
    GroupChanged outcome = change.Outcome();
    outcome.created = false;
    return outcome;
  };
  auto changed = State::WithRetries(attempt);
  if (changed.has_error()) return state.RefuseGroup(by, "group.rekey", id, changed.error());
  return changed;
}

Result<GroupView> KeyStore::ShowGroup(const Requester& by, const GroupId& id) {
  State& state = *state_;
  const auto directory = state.directory->snapshot();
  State::GroupChange change(state, by, directory);
  SKMS_TRYV(change.Read(id));
  if (!change.there() || !ManagesAll(by, *directory, change.stored()->record.services)) return NoSuchGroup();
  GroupView view;
  view.record = change.stored()->record;
  for (const auto& [member, first] : change.former()) view.members.push_back(member);
  return view;
}

Result<std::vector<GroupRecord>> KeyStore::ListGroups(const std::string& after, std::uint32_t limit) {
  if (limit < 1 || limit > 1000) return InvalidArgument("limit must be 1 to 1000");
  State& state = *state_;
  std::vector<StoredGroup> page;
  SKMS_TRYV(state.database->Read([&](soci::session& session) -> Status {
    SKMS_TRY(page, ReadGroupPage(session, after, static_cast<int>(limit)));
    return Ok();
  }));
  std::vector<GroupRecord> records;
  for (StoredGroup& stored : page) {
    SKMS_TRYV(CheckRowMac(state.module, FieldsOf(stored.record), stored.mac,
                          "group '" + stored.record.id.value() + "'"));
    records.push_back(std::move(stored.record));
  }
  return records;
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
      const Selector selector = KeyOf(service_id, id);
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
      SKMS_TRY(one.stored, ReadVersions(session, KeyOf(service.id, id)));
      found.push_back(std::move(one));
    }
    return Ok();
  }));
  Versions versions;
  for (Found& one : found) {
    const GroupRecord& record = one.group.record;
    looked_at.push_back(KeyOf(service.id, record.id));
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
