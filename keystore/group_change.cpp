#include "keystore/group_change.h"

#include <algorithm>
#include <set>

#include "base/log.h"

namespace skms::keystore {
namespace {

/// The newest version's number, and which one protects.
std::uint32_t NumberNow(const std::vector<StoredKeyVersion>& stored) {
  for (const StoredKeyVersion& one : stored) {
    if (one.version.state == KeyState::kActive) return one.version.version;
  }
  return stored.empty() ? 1 : stored.front().version.version;
}

}  // namespace

bool Manages(const Requester& by, const Service& service) {
  if (by.administrator) return true;
  if (!service.access.home.empty() || !Holds(service.group_servers, by.principal)) return false;
  return !by.token_services || Holds(*by.token_services, service.id.value());
}

bool ManagesAll(const Requester& by, const DirectorySnapshot& directory,
                const std::vector<ValServiceId>& services) {
  return by.administrator || std::all_of(services.begin(), services.end(), [&](const ValServiceId& id) {
           const auto found = directory.services.find(id.value());
           return found != directory.services.end() && Manages(by, found->second);
         });
}

Status KeyStore::State::GroupChange::Read(const GroupId& id) {
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

Result<bool> KeyStore::State::GroupChange::Become(const GroupDocument& document) {
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

Status KeyStore::State::GroupChange::End() {
  record_.services = stored_->record.services;
  record_.deleted = true;
  ++record_.revision;
  record_.changed = now_;
  for (const ValServiceId& service : record_.services)
    SKMS_TRYV(ChangeKey(service, true, "the group was deleted", true));
  Seal(record_, wanted_);
  return Ok();
}

Status KeyStore::State::GroupChange::Rekey(const std::string& reason) {
  record_ = stored_->record;
  for (const ValServiceId& service : record_.services) SKMS_TRYV(ChangeKey(service, true, reason));
  return Ok();
}

Status KeyStore::State::GroupChange::Commit(const char* action, const std::string& what, bool with_group) {
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

std::vector<Selector> KeyStore::State::GroupChange::Concerned() const {
  std::vector<Selector> out = set_.selectors();
  std::vector<ValServiceId> services = record_.services;
  if (stored_) {
    const std::vector<ValServiceId>& before = stored_->record.services;
    services.insert(services.end(), before.begin(), before.end());
  }
  for (const ValServiceId& service : services) {
    out.push_back(GroupKeyOf(service, record_.id));
    for (const Membership* members : {&former_, &wanted_}) {
      for (const auto& [member, first] : *members) out.push_back({service, member.kind, member.id});
    }
  }
  return out;
}

GroupChanged KeyStore::State::GroupChange::Outcome() const {
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

Status KeyStore::State::GroupChange::ChangeKeys(bool removed, bool added) {
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

Result<std::uint32_t> KeyStore::State::GroupChange::ChangeKey(const ValServiceId& id, bool rekey,
                                                              const std::string& reason, bool last) {
  const auto found = directory_->services.find(id.value());
  if (found == directory_->services.end())
    return NotFound("service '" + id.value() + "' of the group is gone");
  const Selector selector = GroupKeyOf(id, record_.id);
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

}  // namespace skms::keystore
