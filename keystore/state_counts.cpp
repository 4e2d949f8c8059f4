// What is counted of key versions for those who watch: by small tables and partial indexes, never row by row.
#include <soci/soci.h>

#include <algorithm>
#include <optional>
#include <string>

#include "keystore/key_life.h"
#include "keystore/key_search.h"

namespace skms::keystore {
namespace {

constexpr long long kMostVersions = 1LL << 50;

/// `condition` has :until and may have :service; `column` is what an index orders them by.
Status AddDue(soci::session& session, const std::string& column, const std::string& condition,
              const std::string& service, std::int64_t until, std::int64_t since_due, std::int64_t most,
              DueVersions& due) {
  const long long time = until;
  const long long room = std::max<std::int64_t>(0, most - due.count);
  long long count = 0;
  long long first = 0;
  soci::indicator none = soci::i_null;
  soci::statement counting(session);
  counting.exchange(soci::into(count));
  counting.exchange(soci::into(first, none));
  if (!service.empty()) counting.exchange(soci::use(service, "service"));
  counting.exchange(soci::use(time, "until"));
  counting.exchange(soci::use(room, "most"));
  counting.alloc();
  counting.prepare("SELECT count(*), min(due) FROM (SELECT " + column + " AS due FROM key_versions WHERE " +
                   condition + " ORDER BY " + column + " LIMIT :most) AS found");
  counting.define_and_bind();
  counting.execute(true);
  due.count += count;
  if (none == soci::i_ok)
    due.first = std::min(due.first.value_or(first + since_due), std::int64_t{first} + since_due);
  return Ok();
}

}  // namespace

Result<StateCounts> CountStates(Database& database) {
  StateCounts counts;
  for (const StateRule& rule : StateRules()) counts.emplace_back(std::string(Name(rule.state)), 0);
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    // Whoever writes the database may have written anything here: it is for those who watch, and decides
    // nothing.
    for (auto& [name, count] : counts) {
      long long versions = 0;
      soci::indicator known = soci::i_null;
      session << "SELECT max(versions) FROM state_counts WHERE state = :state", soci::into(versions, known),
          soci::use(name);
      count = known == soci::i_ok ? std::clamp<long long>(versions, 0, kMostVersions) : 0;
    }
    return Ok();
  }));
  return counts;
}

Result<DueVersions> CountToActivateOrEnd(Database& database, std::int64_t now, std::int64_t most) {
  DueVersions due;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    SKMS_TRYV(AddDue(session, "not_before", "state = 'pre-active' AND not_before <= :until", "", now, 0, most,
                     due));
    return AddDue(session, "not_after", "state = 'active' AND not_after <= :until", "", now, 0, most, due);
  }));
  return due;
}

Result<DueVersions> CountToFollow(Database& database, const Service& service, std::int64_t now,
                                  std::int64_t most) {
  const RotationPolicy& rotation = service.rotation;
  const std::int64_t before_next = rotation.crypto_period - rotation.make_ahead;
  const std::int64_t before_end = rotation.overlap + rotation.make_ahead;
  const std::string unfollowed = "service = :service AND state = 'active' AND superseded = 0 AND ";
  const std::string& id = service.id.value();
  DueVersions due;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    SKMS_TRYV(AddDue(session, "not_before", unfollowed + "not_before <= :until", id, now - before_next,
                     before_next, most, due));
    return AddDue(session, "not_after", unfollowed + "not_after <= :until", id, now + before_end, -before_end,
                  most, due);
  }));
  return due;
}

}  // namespace skms::keystore
