#include "keystore/prepared_statements.h"

#include <doctest/doctest.h>
#include <soci/soci.h>

#include "keystore/audit_log.h"
#include "keystore/database.h"
#include "keystore/schema.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temporary_directory.h"

namespace skms::keystore {
namespace {

struct Counter {
  explicit Counter(soci::session& session)
      : statement((session.prepare << "SELECT count(*) FROM audit", soci::into(count))) {}
  long long count = 0;
  soci::statement statement;
};

/// Where it lies, and what it counts.
Status Count(Database& database, const Counter*& where, long long& count) {
  return database.Write([&](soci::session& session) -> Status {
    const auto counter = PreparedStatements::Of<Counter>(session);
    where = counter.get();
    for (bool more = counter->statement.execute(true); more; more = counter->statement.fetch())
      count = counter->count;
    return Ok();
  });
}

struct Fixture {
  test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/skms.db";
  std::unique_ptr<Database> database = [this] {
    REQUIRE(Database::CreateFile(path).has_value());
    auto opened = Database::Open(path);
    REQUIRE(opened.has_value());
    REQUIRE(Migrate(*opened.value()).has_value());
    return std::move(opened).value();
  }();
  test::ManualClock clock;
};

std::int64_t LastVerified(Database& database) {
  AuditVerifier verifier({});
  REQUIRE(VerifyAuditChain(database, verifier).has_value());
  return verifier.verdict().last;
}

TEST_CASE("a connection keeps its statement, sees what is written, and leaves the log free to be emptied") {
  const Fixture f;
  const Counter* first = nullptr;
  const Counter* second = nullptr;
  long long count = -1;
  REQUIRE(Count(*f.database, first, count).has_value());
  CHECK(count == 0);
  for (int n = 1; n <= 3; ++n) {
    REQUIRE(f.database->Write([&](soci::session& session) { return AppendAudit(session, f.clock, {}); })
                .has_value());
    REQUIRE(Count(*f.database, second, count).has_value());
    CHECK(count == n);
    CHECK(second == first);
    CHECK(ReadAuditHead(*f.database).value().entries == n);
    CHECK(f.database->EmptyLog().has_value());
  }
  CHECK(LastVerified(*f.database) == 3);
}

TEST_CASE("after an error or an exception nothing is kept, and the next work finds all as it should be") {
  const Fixture f;
  const Counter* where = nullptr;
  long long count = -1;
  const auto append = [&] {
    return f.database->Write([&](soci::session& session) { return AppendAudit(session, f.clock, {}); });
  };
  REQUIRE(append().has_value());
  CHECK(f.database
            ->Write([&](soci::session& session) -> Status {
              SKMS_TRYV(AppendAudit(session, f.clock, {}));
              return IntegrityError("no");
            })
            .has_error());
  CHECK(f.database
            ->Write([&](soci::session& session) -> Status {
              PreparedStatements::Of<Counter>(session)->statement.execute(true);  // and not to its end
              session << "SELECT nonsense";
              return Ok();
            })
            .has_error());
  CHECK(f.database->EmptyLog().has_value());
  REQUIRE(append().has_value());
  REQUIRE(Count(*f.database, where, count).has_value());
  CHECK(count == 2);
  CHECK(LastVerified(*f.database) == 2);
}

}  // namespace
}  // namespace skms::keystore
