#include "keystore/other_servers.h"

#include <utility>

#include "keystore/changed_elsewhere.h"
#include "keystore/database_engine.h"

namespace skms::keystore {

Error OvertakenByOthers() {
  return {ErrorCode::kStoreUnavailable,
          "the store was changed by another server, or learnt anew, meanwhile; try again"};
}

void OtherServers::FindNewestChange(soci::session& session) {
  // The table is not there yet in a database that is of an older version.
  if (engine_.is_shared() && engine_.HasTable(session, "store_changes")) seen_ = NewestChange(session);
}

Result<bool> OtherServers::Hear(soci::session& session) {
  if (!engine_.is_shared()) return false;
  SKMS_TRY(const ChangedElsewhere others, ReadChangedElsewhere(session, seen_));
  if (others.all) return true;
  seen_ = others.newest;
  if (!others.places.empty()) {
    const std::lock_guard lock(mutex_);
    if (changed_elsewhere_) changed_elsewhere_(others.places);
  }
  return false;
}

std::int64_t OtherServers::Tell(soci::session& session, bool anything, const Places& places) const {
  if (!engine_.is_shared() || (!anything && places.empty())) return 0;
  const ChangedElsewhere own{seen_ + 1, anything, places};
  TellChange(session, own);
  return own.newest;
}

void OtherServers::HaveTold(std::int64_t number) {
  if (number != 0) seen_ = number;
}

Status OtherServers::LearnAnew() {
  const std::lock_guard lock(mutex_);
  Status learnt = reconnected_ ? reconnected_() : Ok();
  // Not before: who decides meanwhile may still see what was.
  ++learnt_;
  return learnt;
}

void OtherServers::SeekLead(soci::session& session, bool may_lead) {
  if (!may_lead) {
    leads_ = false;
    engine_.LeadNoMore(session);
  } else if (engine_.TryToLead(session)) {
    ++term_;
    leads_ = true;
  }
}

bool OtherServers::leads() const { return leads_ || !engine_.is_shared(); }

void OtherServers::OnReconnected(std::function<Status()> reconnected) {
  const std::lock_guard lock(mutex_);
  reconnected_ = std::move(reconnected);
}

void OtherServers::OnChangedElsewhere(std::function<void(const Places&)> changed) {
  const std::lock_guard lock(mutex_);
  changed_elsewhere_ = std::move(changed);
}

}  // namespace skms::keystore
