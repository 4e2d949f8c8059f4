// GroupChange: a change of one group while it is made; shared by the files that change and deliver groups.
//
// Of one thread. Errors that say kChangedMeanwhile are tried again (State::WithRetries).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "keystore/groups.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {

inline Selector GroupKeyOf(const ValServiceId& service, const GroupId& group) {
  return {service, TargetKind::kGroup, group.value()};
}

/// A service that another server has is nobody's to manage here, nor one that his token does not name.
bool Manages(const Requester& by, const Service& service);
/// Does he manage every service of the group? One he does not manage may be another's secret.
bool ManagesAll(const Requester& by, const DirectorySnapshot& directory,
                const std::vector<ValServiceId>& services);
/// One text for a group that is not there and one that is not for this requester.
inline Error NoSuchGroup() { return NotFound("there is no such group, or none for this requester"); }

/// What there is, what shall be, and the key changes in between.
class KeyStore::State::GroupChange {
 public:
  GroupChange(State& state, const Requester& by, std::shared_ptr<const DirectorySnapshot> directory)
      : state_(state), by_(by), directory_(std::move(directory)), now_(state.clock.NowSeconds()) {}

  /// Reads and checks what there is.
  Status Read(const GroupId& id);

  const std::optional<StoredGroup>& stored() const { return stored_; }
  const Membership& former() const { return former_; }
  bool there() const { return stored_ && !stored_->record.deleted; }

  /// Becomes what `document` says. False: it is so already.
  Result<bool> Become(const GroupDocument& document);

  /// Becomes a tombstone.
  Status End();

  /// New keys for every service; the group stays as it is.
  Status Rekey(const std::string& reason);

  Status Commit(const char* action, const std::string& what, bool with_group);

  /// Whose answers may be others now: the group's own, and its members', also of those who come or go, and of
  /// services that do.
  std::vector<Selector> Concerned() const;

  GroupChanged Outcome() const;

 private:
  Status ChangeKeys(bool removed, bool added);

  /// The number of the version that protects afterwards. Version 1 is made where there is none.
  Result<std::uint32_t> ChangeKey(const ValServiceId& id, bool rekey, const std::string& reason,
                                  bool last = false);

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

}  // namespace skms::keystore
