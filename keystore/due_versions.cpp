// What rotation by time looks for.
#include <soci/soci.h>

#include <utility>

#include "keystore/key_rows.h"
#include "keystore/key_search.h"

namespace skms::keystore {
namespace {

/// The selectors that `condition` finds, in the order of `order`.
Result<std::vector<Selector>> SelectSelectors(Database& database, const std::string& condition_and_order,
                                              std::int64_t until, const std::string& service, int limit) {
  std::vector<Selector> found;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id;
    std::string kind;
    std::string target;
    const long long time = until;
    soci::statement select(session);
    select.exchange(soci::into(id));
    select.exchange(soci::into(kind));
    select.exchange(soci::into(target));
    if (!service.empty()) select.exchange(soci::use(service, "service"));
    select.exchange(soci::use(time, "until"));
    select.exchange(soci::use(limit, "most"));
    select.alloc();
    select.prepare("SELECT service, target_kind, target FROM key_versions WHERE " + condition_and_order +
                   " LIMIT :most");
    select.define_and_bind();
    for (bool more = select.execute(true); more; more = select.fetch()) {
      const auto parsed = ParseTargetKind(kind);
      if (parsed.has_error()) return IntegrityError("a key's target kind is not readable");
      found.push_back({ValServiceId(id), parsed.value(), target});
    }
    return Ok();
  }));
  return found;
}

}  // namespace

Result<std::vector<Selector>> SelectorsToActivate(Database& database, std::int64_t now, int limit) {
  return SelectSelectors(database, "state = 'pre-active' AND not_before <= :until ORDER BY not_before", now,
                         "", limit);
}

Result<std::vector<Selector>> SelectorsToEnd(Database& database, std::int64_t now, int limit) {
  return SelectSelectors(database, "state = 'active' AND not_after <= :until ORDER BY not_after", now, "",
                         limit);
}

Result<std::vector<Selector>> SelectorsToFollow(Database& database, const ValServiceId& service,
                                                std::int64_t begun_until, int limit) {
  return SelectSelectors(database,
                         "service = :service AND state = 'active' AND superseded = 0 AND not_before <= :until"
                         " ORDER BY not_before",
                         begun_until, service.value(), limit);
}

Result<std::vector<Selector>> SelectorsEndingUnfollowed(Database& database, const ValServiceId& service,
                                                        std::int64_t ends_until, int limit) {
  return SelectSelectors(database,
                         "service = :service AND state = 'active' AND superseded = 0 AND not_after <= :until"
                         " ORDER BY not_after",
                         ends_until, service.value(), limit);
}

Result<UnfollowedTimes> EarliestUnfollowed(Database& database, const ValServiceId& service) {
  NullableTime begin;
  NullableTime end;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    // Two statements, for each has an index that leads straight to its smallest.
    session << "SELECT min(not_before) FROM key_versions WHERE service = :service AND state = 'active'"
               " AND superseded = 0",
        soci::into(begin.value, begin.null), soci::use(service.value());
    session << "SELECT min(not_after) FROM key_versions WHERE service = :service AND state = 'active'"
               " AND superseded = 0",
        soci::into(end.value, end.null), soci::use(service.value());
    return Ok();
  }));
  return UnfollowedTimes{begin.time(), end.time()};
}

}  // namespace skms::keystore
