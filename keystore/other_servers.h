// OtherServers: the part of a Database that knows of others at the same database (`store.shared`): what they
// have changed, what they are told, when all in memory is learnt anew, and which of them leads.
//
// What takes a session runs on the connection that writes, on the writer's thread, and throws SOCI's
// exceptions; the rest is thread-safe. Of a database that is not shared nothing is heard and nobody is told;
// it always leads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>

#include "keystore/database.h"

namespace skms::keystore {

class DatabaseEngine;

/// Of what was decided by what is no more: kStoreUnavailable.
Error OvertakenByOthers();

class OtherServers {
 public:
  explicit OtherServers(const DatabaseEngine& engine) : engine_(engine) {}

  /// Before what the database holds is read: a change that comes between is then learnt twice.
  void FindNewestChange(soci::session& session);
  /// True: what was decided so far was decided by what is no more, and all is to be learnt anew. Errors:
  /// kIntegrity (they say what this program does not understand).
  Result<bool> Hear(soci::session& session);
  /// Within the transaction that makes the change: anything, or keys at `places`. The number that it has once
  /// it is committed; 0: there is nothing to tell.
  std::int64_t Tell(soci::session& session, bool anything, const Places& places) const;
  void HaveTold(std::int64_t number);
  /// Calls who keeps what the database holds. Errors: theirs.
  Status LearnAnew();
  std::uint64_t learnt() const { return learnt_; }

  void SeekLead(soci::session& session, bool may_lead);
  void DoubtLead() { leads_ = false; }
  bool leads() const;
  std::uint64_t term() const { return term_; }

  /// Database's.
  void OnReconnected(std::function<Status()> reconnected);
  void OnChangedElsewhere(std::function<void(const Places&)> changed);

 private:
  const DatabaseEngine& engine_;
  std::mutex mutex_;  ///< held while a callback runs
  std::function<Status()> reconnected_;
  std::function<void(const Places&)> changed_elsewhere_;
  std::atomic<std::uint64_t> learnt_{0};
  std::atomic<bool> leads_{false};
  std::atomic<std::uint64_t> term_{0};
  std::int64_t seen_ = 0;  ///< the last change elsewhere, or of our own, that is known; of the writer alone
};

}  // namespace skms::keystore
