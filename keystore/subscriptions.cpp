#include "keystore/subscriptions.h"

#include <soci/soci.h>

#include <algorithm>

#include "keystore/key_store_state.h"

namespace skms::keystore {
void WritePosition(soci::session& session, const SubscriptionId& id, std::int64_t position) {
  const long long place = position;
  DropPosition(session, id);
  session << "INSERT INTO subscription_positions (id, position) VALUES (:id, :place)", soci::use(id.value()),
      soci::use(place);
}

bool MovePosition(soci::session& session, const SubscriptionId& id, std::int64_t position) {
  const long long place = position;
  soci::statement update =
      (session.prepare
           << "UPDATE subscription_positions SET position = :place WHERE id = :id AND position < :before",
       soci::use(place), soci::use(id.value()), soci::use(place));
  update.execute(true);
  return update.get_affected_rows() == 1;
}

void DropPosition(soci::session& session, const SubscriptionId& id) {
  session << "DELETE FROM subscription_positions WHERE id = :id", soci::use(id.value());
}

std::int64_t SmallestPosition(soci::session& session) {
  long long smallest = 0;
  session << "SELECT coalesce((SELECT min(position) FROM subscription_positions),"
             " (SELECT max(seq) FROM key_events), 0)",
      soci::into(smallest);
  return smallest;
}

Result<std::int64_t> ReadPosition(Database& database, const SubscriptionId& id) {
  long long position = 0;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    session << "SELECT position FROM subscription_positions WHERE id = :id", soci::into(position),
        soci::use(id.value());
    return Ok();
  }));
  return std::int64_t{position};
}

bool MayBeTold(const DirectorySnapshot& directory, const PrincipalId& principal, const KeyEvent& event) {
  const auto service = directory.services.find(event.selector.service.value());
  if (service == directory.services.end()) return false;
  if (Holds(service->second.readers, principal)) return true;
  return event.selector.kind == TargetKind::kGroup && Holds(service->second.group_servers, principal);
}

std::vector<Subscription> KeyStore::Subscriptions() const {
  std::vector<Subscription> all;
  for (const auto& [id, subscription] : state_->directory->snapshot()->subscriptions)
    all.push_back(subscription);
  return all;
}

Status KeyStore::AddSubscription(const Requester& by, const Subscription& subscription) {
  return state_->directory->AddSubscription(by, subscription);
}

Status KeyStore::RemoveSubscription(const Requester& by, const SubscriptionId& id) {
  return state_->directory->RemoveSubscription(by, id);
}

Result<EventBatch> KeyStore::NextEvents(const Subscription& subscription, std::int64_t dropped_before,
                                        std::uint32_t most) {
  constexpr int kLookAtOnce = 1000;
  State& state = *state_;
  const auto directory = state.directory->snapshot();
  SKMS_TRY(const std::int64_t position, ReadPosition(*state.database, subscription.id));
  SKMS_TRY(const std::vector<KeyEvent> events, ReadEvents(*state.database, position, kLookAtOnce));
  EventBatch batch;
  batch.position = position;
  for (const KeyEvent& event : events) {
    const bool told = MayBeTold(*directory, subscription.principal, event);
    const bool fresh = event.time >= dropped_before;
    // What is given up is confirmed by itself, whatever becomes of what follows.
    if (batch.events.size() == most || (told && fresh && batch.dropped > 0)) break;
    batch.position = event.number;
    batch.moved = true;
    if (!told) continue;
    if (!fresh) {
      ++batch.dropped;
      continue;
    }
    batch.events.push_back(event);
  }
  return batch;
}

Result<std::int64_t> KeyStore::PositionOf(const Subscription& subscription) {
  return ReadPosition(*state_->database, subscription.id);
}

Result<std::int64_t> KeyStore::NewestEventNumber() {
  std::int64_t newest = 0;
  SKMS_TRYV(state_->database->Read([&](soci::session& session) -> Status {
    newest = NewestEventIn(session);
    return Ok();
  }));
  return newest;
}

Status KeyStore::ConfirmEvents(const Subscription& subscription, const EventBatch& batch) {
  State& state = *state_;
  const DatabaseWork confirm = [&](soci::session& session) -> Status {
    // It may have been removed meanwhile; then there is no place to keep.
    if (!MovePosition(session, subscription.id, batch.position)) return Ok();
    PruneEvents(session, SmallestPosition(session));
    if (batch.dropped == 0) return Ok();
    AuditEntry entry;
    entry.actor = "notifier";
    entry.action = "notification.drop";
    entry.outcome = "refused";
    entry.reason = std::to_string(batch.dropped) + " events for subscription " + subscription.id.value() +
                   " of " + subscription.principal.value() + " were not taken in time";
    return AppendAudit(session, state.clock, entry);
  };
  return state.database->Write(confirm, Touches::kNothingDelivered);
}

}  // namespace skms::keystore
