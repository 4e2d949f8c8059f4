#include "keystore/change_batch.h"

#include <soci/soci.h>

#include <algorithm>

#include "keystore/prepared_statements.h"

namespace skms::keystore {

std::vector<Status> ChangeBatch::Apply(const std::vector<QueuedWrite>& batch) {
  std::vector<Status> outcomes;
  outcomes.reserve(batch.size());
  for (auto next = batch.begin(); next != batch.end();) {
    const auto end = std::find_if_not(next, batch.end(), [this](const QueuedWrite& change) {
      return change.repeatable && IsOfNow(change);
    });
    if (end - next > 1 && ApplyTogether(next, end)) {
      for (; next != end; ++next) outcomes.emplace_back(Ok());
      continue;
    }
    // What failed together is tried one by one.
    for (const auto last = std::max(end, next + 1); next != last; ++next)
      outcomes.push_back(ApplyAlone(*next));
  }
  return outcomes;
}

bool ChangeBatch::ApplyTogether(Change begin, Change end) {
  soci::session& session = *connection_.session;
  connections_.engine().BeginChange(session);
  const bool all = std::all_of(begin, end, [this](const QueuedWrite& change) {
    return connections_.Guarded(change.work, connection_, change.limit).has_value();
  });
  if (!all) Undo();
  connections_.Settle(connection_);
  connections_.engine().EndChange(session);
  return all;
}

Status ChangeBatch::ApplyAlone(const QueuedWrite& change) {
  if (!IsOfNow(change)) {
    if (change.overtaken != nullptr) *change.overtaken = true;
    return OvertakenByOthers();
  }
  soci::session& session = *connection_.session;
  connections_.engine().BeginChange(session);
  Status status = connections_.Guarded(change.work, connection_, change.limit);
  // A failed change leaves nothing; errors here end the whole transaction.
  if (status.has_error()) Undo();
  connections_.Settle(connection_);
  connections_.engine().EndChange(session);
  return status;
}

void ChangeBatch::Undo() {
  connections_.engine().UndoChange(*connection_.session);
  PreparedStatements::ForgetTransaction(*connection_.session);
}

}  // namespace skms::keystore
