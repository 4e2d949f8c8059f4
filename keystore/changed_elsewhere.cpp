#include "keystore/changed_elsewhere.h"

#include <soci/soci.h>

#include <charconv>
#include <string>

#include "base/log.h"
#include "keystore/prepared_statements.h"

namespace skms::keystore {
namespace {

constexpr const char* kAll = "*";
// More than that since the last look is all the same as everything.
constexpr int kMostRead = 1000;
constexpr std::int64_t kKept = 4096;
constexpr std::int64_t kTidiedEvery = 256;

struct SelectChanges {
  explicit SelectChanges(soci::session& session)
      : statement((session.prepare << "SELECT number, places FROM store_changes WHERE number > :seen"
                                      " ORDER BY number LIMIT :most",
                   soci::into(number), soci::into(places), soci::use(seen), soci::use(most))) {}
  long long seen = 0;
  int most = kMostRead;
  long long number = 0;
  std::string places;
  soci::statement statement;
};

struct InsertChange {
  explicit InsertChange(soci::session& session)
      : statement((session.prepare << "INSERT INTO store_changes (number, places) VALUES (:number, :places)",
                   soci::use(number), soci::use(places))) {}
  long long number = 0;
  std::string places;
  soci::statement statement;
};

/// False: not as TellChange writes them.
bool AddPlaces(const std::string& text, std::set<std::uint32_t>& places) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::uint32_t place = 0;
    const auto [after, code] = std::from_chars(at, end, place);
    if (code != std::errc{} || after == at || (after != end && *after != ' ')) return false;
    places.insert(place);
    at = after == end ? end : after + 1;
  }
  return true;
}

}  // namespace

Result<ChangedElsewhere> ReadChangedElsewhere(soci::session& session, std::int64_t seen) {
  const auto select = PreparedStatements::Of<SelectChanges>(session);
  select->seen = seen;
  ChangedElsewhere out;
  out.newest = seen;
  int rows = 0;
  bool understood = true;
  for (bool more = select->statement.execute(true); more; more = select->statement.fetch()) {
    ++rows;
    // A gap: they were taken away before they were read here.
    if (select->number != out.newest + 1 || select->places == kAll) {
      out.all = true;
    } else {
      understood = AddPlaces(select->places, out.places) && understood;
    }
    out.newest = select->number;
  }
  if (!understood) return IntegrityError("a row of store_changes was changed outside skms");
  if (rows == kMostRead) {
    out.all = true;
    out.newest = NewestChange(session);
  }
  return out;
}

std::int64_t NewestChange(soci::session& session) {
  long long newest = 0;
  session << "SELECT coalesce(max(number), 0) FROM store_changes", soci::into(newest);
  return newest;
}

void TellChange(soci::session& session, const ChangedElsewhere& change) {
  const auto insert = PreparedStatements::Of<InsertChange>(session);
  insert->number = change.newest;
  insert->places.clear();
  if (change.all) {
    insert->places = kAll;
  } else {
    for (const std::uint32_t place : change.places) {
      if (!insert->places.empty()) insert->places += ' ';
      insert->places += std::to_string(place);
    }
  }
  insert->statement.execute(true);
  if (change.newest % kTidiedEvery != 0) return;
  const long long until = change.newest - kKept;
  session << "DELETE FROM store_changes WHERE number <= :until", soci::use(until);
}

}  // namespace skms::keystore
