// Groups of SEAL-X1: who may change them, and when their keys change with them.
#include <algorithm>
#include <set>
#include <utility>

#include "keystore/directory_rows.h"
#include "keystore/group_change.h"

namespace skms::keystore {
namespace {

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

}  // namespace

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

}  // namespace skms::keystore
