// RunRotation: finds the keys whose time has come, plans each one anew from its stored versions, and commits.
#include "keystore/rotation_run.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "keystore/key_search.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

constexpr std::int64_t kRetrySeconds = 60;

}  // namespace

void RotationMemory::Begin(std::uint64_t changes, std::int64_t now) {
  if (changes != changes_ || now < now_) quiet_until_.clear();
  if (now < now_) {
    failed_until_.clear();
    empty_log_at_ = now;
  }
  changes_ = changes;
  now_ = now;
  std::erase_if(failed_until_, [now](const auto& entry) { return entry.second <= now; });
}

bool RotationMemory::IsQuiet(const std::string& service) const {
  const auto found = quiet_until_.find(service);
  return found != quiet_until_.end() && found->second > now_;
}

bool RotationMemory::IsLeftAlone(const Selector& selector) const {
  return failed_until_.count({selector.service.value(), selector.kind, selector.target}) > 0;
}

void RotationMemory::LeaveAlone(const Selector& selector) {
  failed_until_[{selector.service.value(), selector.kind, selector.target}] = now_ + kRetrySeconds;
}

/// One run's selectors, each once.
class KeyStore::State::DueKeys {
 public:
  DueKeys(State& state, std::int64_t now, std::size_t most) : state_(state), now_(now), most_(most) {}

  Status Find(const DirectorySnapshot& known) {
    const int limit = static_cast<int>(most_ + state_.rotation_memory.left_alone() + 1);
    SKMS_TRYV(Add(SelectorsToActivate(*state_.database, now_, limit)));
    SKMS_TRYV(Add(SelectorsToEnd(*state_.database, now_, limit)));
    for (const auto& [name, service] : known.services) {
      if (due_.size() > most_) break;
      if (service.rotation.crypto_period > 0 && !state_.rotation_memory.IsQuiet(name))
        SKMS_TRYV(AddOfService(service, limit));
    }
    more_ = due_.size() > most_;
    due_.resize(std::min(due_.size(), most_));
    return Ok();
  }

  const std::vector<Selector>& selectors() const { return due_; }
  bool more() const { return more_; }

 private:
  Status AddOfService(const Service& service, int limit) {
    const RotationPolicy& rotation = service.rotation;
    const std::int64_t before_next = rotation.crypto_period - rotation.make_ahead;
    const std::int64_t before_end = rotation.overlap + rotation.make_ahead;
    auto begun = SelectorsToFollow(*state_.database, service.id, now_ - before_next, limit);
    // Also those whose holders were told an end under a shorter period.
    auto ending = SelectorsEndingUnfollowed(*state_.database, service.id, now_ + before_end, limit);
    if (begun.has_value() && begun.value().empty() && ending.has_value() && ending.value().empty()) {
      SKMS_TRY(const UnfollowedTimes times, EarliestUnfollowed(*state_.database, service.id));
      // A key made from now on is due no sooner than one that begins now.
      const std::int64_t by_period = std::min(times.not_before.value_or(now_), now_) + before_next;
      state_.rotation_memory.QuietUntil(
          service.id.value(),
          times.not_after ? std::min(by_period, *times.not_after - before_end) : by_period);
    }
    SKMS_TRYV(Add(std::move(begun)));
    return Add(std::move(ending));
  }

  Status Add(Result<std::vector<Selector>> found) {
    if (found.has_error()) return found.error();
    for (Selector& selector : found.value()) {
      const bool known = std::find(due_.begin(), due_.end(), selector) != due_.end();
      if (!known && !state_.rotation_memory.IsLeftAlone(selector)) due_.push_back(std::move(selector));
    }
    return Ok();
  }

  State& state_;
  const std::int64_t now_;
  const std::size_t most_;
  std::vector<Selector> due_;
  bool more_ = false;
};

Result<KeyChangeSet> KeyStore::State::PlanOne(const Requester& by, const Service& service,
                                              const Selector& selector, std::int64_t now) {
  SKMS_TRY(std::vector<StoredKeyVersion> stored, CheckedVersions(selector));
  Versions versions;
  for (const StoredKeyVersion& one : stored) versions.push_back(one.version);
  KeyChangeSet set;
  const Planned planned{service, selector, std::move(stored), "rotate", "by the clock", 0};
  SKMS_TRYV(AddPlan(set, by, planned, PlanScheduled(service.rotation, versions, now)));
  return set;
}

Result<RotationRun> KeyStore::RunRotation(std::size_t most) {
  State& state = *state_;
  const std::lock_guard lock(state.rotation_mutex);
  const Requester scheduler{PrincipalId("scheduler"), {}, ""};
  const auto directory = state.directory->snapshot();
  const std::int64_t now = state.clock.NowSeconds();
  state.rotation_memory.Begin(directory->version + state.changes_by_hand, now);
  State::DueKeys due(state, now, most);
  SKMS_TRYV(due.Find(*directory));

  RotationRun run;
  run.more = due.more();
  std::vector<std::pair<Selector, KeyChangeSet>> sets;
  for (const Selector& selector : due.selectors()) {
    const auto service = directory->services.find(selector.service.value());
    auto set = service == directory->services.end()
                   ? Result<KeyChangeSet>(NotFound("the service of a key is gone"))
                   : state.PlanOne(scheduler, service->second, selector, now);
    if (set.has_value() && !set.value().updates.empty()) {
      sets.emplace_back(selector, std::move(set).value());
      continue;
    }
    ++run.failed;
    state.rotation_memory.LeaveAlone(selector);
    // A token that is away fails all of them alike: nothing is planned, and the caller waits.
    if (set.has_error() && set.error().code == ErrorCode::kTokenUnavailable) return set.error();
    LogError("rotation: a key of service '" + selector.service.value() + "' is left alone for " +
             std::to_string(kRetrySeconds) +
             " s: " + (set.has_error() ? set.error().Describe() : "nothing to do where something was due"));
  }
  SKMS_TRYV(state.CommitRotation(sets, run));
  if (!state.rotation_memory.MayEmptyLog()) return run;
  const Status emptied = state.EmptyLogOfWiped();
  if (emptied.has_error()) {
    LogWarning("rotation: " + emptied.error().detail + "; tried again in a minute");
    state.rotation_memory.EmptyLogLater();
  }
  return run;
}

Status KeyStore::State::CommitRotation(std::vector<std::pair<Selector, KeyChangeSet>>& sets,
                                       RotationRun& run) {
  if (sets.empty()) return Ok();
  bool wipes = false;
  std::vector<Selector> selectors;
  for (const auto& [selector, set] : sets) {
    for (Selector& changed : set.selectors()) selectors.push_back(std::move(changed));
  }
  const DeliveryCache::Change changing(deliveries, selectors);
  const DatabaseWork commit = [&](soci::session& session) -> Status {
    for (auto& [selector, set] : sets) {
      const Status applied = WithinSavepoint(
          session, [&, &changes = set](soci::session& s) { return Apply(s, clock, changes); });
      if (applied.has_error()) {
        ++run.failed;  // somebody changed it meanwhile; it is looked at again if it is still due
        continue;
      }
      run.Count(set);
      wipes = wipes || set.wipes();
    }
    return Ok();
  };
  SKMS_TRYV(database->Write(commit, Touches::kWhatTheCallerTells, changing.places()));
  if (wipes) log_holds_wiped_ = true;
  return Ok();
}

void RotationRun::Count(const KeyChangeSet& set) {
  made += static_cast<int>(set.inserts.size());
  for (const KeyChangeSet::Update& update : set.updates) {
    const KeyVersion& version = update.row.version;
    if (version.changed_by != "scheduler") continue;
    if (version.state == KeyState::kActive && !version.deactivated) ++activated;
    if (version.state == KeyState::kDeactivated) ++ended;
    if (version.state == KeyState::kDestroyed) ++wiped;
  }
}

}  // namespace skms::keystore
