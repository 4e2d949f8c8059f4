#include "keystore/key_events.h"

#include <soci/soci.h>

#include <utility>

#include "keystore/kept_number.h"

namespace skms::keystore {
namespace {

long long Newest(soci::session& session) {
  long long newest = 0;
  session << "SELECT coalesce(max(seq), 0) FROM key_events", soci::into(newest);
  return newest;
}

struct SubscriptionCount {
  static constexpr const char* kSql = "SELECT count(*) FROM subscriptions";
};

}  // namespace

KeyEvent EventOf(std::string event, const KeyVersion& version) {
  return {0, 0, std::move(event), version.selector, version.kid, version.version, version.state};
}

std::string EventFor(const std::string& action) {
  static constexpr std::pair<const char*, const char*> kNames[] = {
      {"activate", "rotated"},       {"suspend", "suspended"}, {"resume", "resumed"},
      {"deactivate", "deactivated"}, {"release", "released"},  {"withhold", "withheld"},
      {"compromise", "compromised"}, {"destroy", "destroyed"},
  };
  for (const auto& [verb, name] : kNames) {
    if (action == verb) return name;
  }
  return action;
}

void AppendEvents(soci::session& session, std::int64_t time, const std::vector<KeyEvent>& events) {
  if (events.empty()) return;
  if (AskNumber<SubscriptionCount>(session) == 0) return;
  long long number = Newest(session);
  for (const KeyEvent& event : events) {
    ++number;
    const long long at = time;
    const std::string kind(Name(event.selector.kind));
    const std::string state(Name(event.state));
    const int version = static_cast<int>(event.version);
    session << "INSERT INTO key_events (seq, time, event, service, target_kind, target, kid, version, state)"
               " VALUES (:seq, :time, :event, :service, :kind, :target, :kid, :version, :state)",
        soci::use(number), soci::use(at), soci::use(event.event), soci::use(event.selector.service.value()),
        soci::use(kind), soci::use(event.selector.target), soci::use(event.kid.value()), soci::use(version),
        soci::use(state);
  }
}

Result<std::vector<KeyEvent>> ReadEvents(Database& database, std::int64_t position, int limit) {
  std::vector<KeyEvent> events;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    long long number = 0;
    long long time = 0;
    std::string event, service, kind, target, kid, state;
    int version = 0;
    const long long after = position;
    soci::statement select =
        (session.prepare << "SELECT seq, time, event, service, target_kind, target, kid, version, state"
                            " FROM key_events WHERE seq > :after ORDER BY seq LIMIT :most",
         soci::into(number), soci::into(time), soci::into(event), soci::into(service), soci::into(kind),
         soci::into(target), soci::into(kid), soci::into(version), soci::into(state), soci::use(after),
         soci::use(limit));
    for (bool more = select.execute(true); more; more = select.fetch()) {
      const auto parsed_kind = ParseTargetKind(kind);
      const auto parsed_state = ParseKeyState(state);
      // One that was changed by hand is passed over: nobody else shall wait for it.
      if (parsed_kind.has_error() || parsed_state.has_error() || version < 1) continue;
      events.push_back({number,
                        time,
                        event,
                        {ValServiceId(service), parsed_kind.value(), target},
                        Kid(kid),
                        static_cast<std::uint32_t>(version),
                        parsed_state.value()});
    }
    return Ok();
  }));
  return events;
}

std::int64_t NewestEventIn(soci::session& session) { return Newest(session); }

void PruneEvents(soci::session& session, std::int64_t position) {
  const long long newest = Newest(session);
  const long long until = position;
  session << "DELETE FROM key_events WHERE seq <= :until AND seq < :newest", soci::use(until),
      soci::use(newest);
}

}  // namespace skms::keystore
