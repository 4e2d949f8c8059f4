#include "keystore/key_change_set.h"

#include <algorithm>

#include "keystore/directory_rows.h"

namespace skms::keystore {
namespace {

Status ApplyInsert(soci::session& session, const KeyChangeSet::Insert& insert) {
  const KeyVersion& version = insert.row.version;
  if (!ServiceStands(session, insert.service)) return ChangedMeanwhile("the service changed meanwhile");
  if (NewestNumber(session, version.selector) + 1 != static_cast<int>(version.version))
    return ChangedMeanwhile("the key changed meanwhile");
  if (version.version == 1 && !CountRecord(session, insert.service)) {
    return PermissionDenied(
        "service '" + insert.service.id.value() + "' has as many records as its policy allows (" +
        std::to_string(insert.service.max_records) + "); raise it with: skmsctl service set " +
        insert.service.id.value() + " --max-records NUMBER");
  }
  InsertVersion(session, insert.row);
  return Ok();
}

}  // namespace

std::vector<Selector> KeyChangeSet::selectors() const {
  std::vector<Selector> out;
  out.reserve(updates.size() + inserts.size());
  for (const Update& update : updates) out.push_back(update.row.version.selector);
  for (const Insert& insert : inserts) out.push_back(insert.row.version.selector);
  return out;
}

bool KeyChangeSet::wipes() const {
  return std::any_of(updates.begin(), updates.end(),
                     [](const Update& update) { return update.row.version.state == KeyState::kDestroyed; });
}

Status Apply(soci::session& session, const Clock& clock, const KeyChangeSet& changes, AuditSummary* place) {
  for (const KeyChangeSet::Update& update : changes.updates) {
    if (!UpdateVersion(session, update.row, update.former))
      return ChangedMeanwhile("the key changed meanwhile");
  }
  for (const KeyChangeSet::Insert& insert : changes.inserts) SKMS_TRYV(ApplyInsert(session, insert));
  for (const AuditEntry& entry : changes.entries) SKMS_TRYV(AppendAudit(session, clock, entry, place));
  AppendEvents(session, clock.NowSeconds(), changes.events);
  return Ok();
}

}  // namespace skms::keystore
