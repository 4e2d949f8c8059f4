// ChangeBatch: the changes of one commit, each of which stands or falls by itself.
//
// Each runs in a savepoint of its own; entries of the audit chain, which hardly ever fail and may be written
// again, in one for all that stand side by side: on a server a savepoint is two trips there and back. Within
// a write transaction, on the writer's thread.
#pragma once

#include <vector>

#include "keystore/database_connections.h"
#include "keystore/other_servers.h"
#include "keystore/write_queue.h"

namespace skms::keystore {

class ChangeBatch {
 public:
  ChangeBatch(Connections& connections, Connection& connection, const OtherServers& others)
      : connections_(connections), connection_(connection), others_(others) {}

  /// An outcome for each. Throws SOCI's exceptions where the transaction cannot go on.
  std::vector<Status> Apply(const std::vector<QueuedWrite>& batch);

 private:
  using Change = std::vector<QueuedWrite>::const_iterator;

  /// False: one failed, and nothing of them is there.
  bool ApplyTogether(Change begin, Change end);
  Status ApplyAlone(const QueuedWrite& change);
  void Undo();
  bool IsOfNow(const QueuedWrite& change) const { return change.decided == others_.learnt(); }

  Connections& connections_;
  Connection& connection_;
  const OtherServers& others_;
};

}  // namespace skms::keystore
