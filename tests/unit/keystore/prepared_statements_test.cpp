#include "keystore/prepared_statements.h"

#include <doctest/doctest.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "keystore/audit_log.h"
#include "keystore/database.h"
#include "keystore/directory_rows.h"
#include "keystore/key_change_set.h"
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

/// The statements that the writing connection has ready; none of them stands in the middle of its rows.
std::set<const void*> StatementsReady(Database& database) {
  std::set<const void*> ready;
  const Status done = database.Write([&](soci::session& session) -> Status {
    // SOCI's library does not show this class's type information.
    const auto* backend =
        static_cast<soci::sqlite3_session_backend*>(session.get_backend());  // NOLINT(*-downcast)
    for (auto* one = sqlite_api::sqlite3_next_stmt(backend->conn_, nullptr); one != nullptr;
         one = sqlite_api::sqlite3_next_stmt(backend->conn_, one)) {
      CHECK(sqlite_api::sqlite3_stmt_busy(one) == 0);
      ready.insert(one);
    }
    return Ok();
  });
  REQUIRE(done.has_value());
  return ready;
}

KeyChangeSet FirstKey(const Service& service, const std::string& name, std::optional<std::int64_t> end) {
  KeyChangeSet::Insert insert;
  insert.service = service;
  KeyVersion& version = insert.row.version;
  version.kid = Kid("kid-" + name);
  version.selector = {service.id, TargetKind::kUser, name};
  version.profile = service.profile;
  version.created = version.not_before = 7;
  version.not_after = end;
  version.wrapped.bytes = Bytes(40, 1);
  if (!end) version.public_key = Bytes(3, 2);
  insert.row.mac = {1, "mac-" + name};
  KeyChangeSet set;
  set.inserts.push_back(std::move(insert));
  set.entries.emplace_back();
  set.events.push_back(EventOf("rotated", version));
  return set;
}

TEST_CASE("what commits a first key is parsed once, and each row has what is its own") {
  const Fixture f;
  Service service;
  service.id = ValServiceId("s");
  service.max_records = 3;
  const auto make = [&](const std::string& name, std::optional<std::int64_t> end) {
    const KeyChangeSet set = FirstKey(service, name, end);
    return f.database->Write([&](soci::session& session) { return Apply(session, f.clock, set); });
  };
  CHECK(make("nobody", 1).error().code == ErrorCode::kChangedMeanwhile);  // there is no such service yet
  REQUIRE(f.database
              ->Write([&](soci::session& session) -> Status {
                InsertRow(session, service, {1, "mac"});
                return Ok();
              })
              .has_value());
  REQUIRE(make("a", 99).has_value());
  REQUIRE(make("b", std::nullopt).has_value());
  const std::set<const void*> ready = StatementsReady(*f.database);
  // Of keystore/key_records.cpp four, service_rows.cpp one, key_events.cpp one, audit_log.cpp two, and the
  // transaction's own.
  CHECK(ready.size() == 12);
  REQUIRE(make("c", 100).has_value());
  CHECK(StatementsReady(*f.database) == ready);
  CHECK(make("d", 1).error().code == ErrorCode::kPermissionDenied);
  CHECK(make("a", 1).error().code == ErrorCode::kChangedMeanwhile);
  CHECK(StatementsReady(*f.database) == ready);
  CHECK(f.database->EmptyLog().has_value());

  const auto row = [&](const char* name) {
    std::vector<StoredKeyVersion> versions;
    REQUIRE(f.database
                ->Read([&](soci::session& session) -> Status {
                  SKMS_TRY(versions, ReadVersions(session, {service.id, TargetKind::kUser, name}));
                  return Ok();
                })
                .has_value());
    REQUIRE(versions.size() == 1);
    return std::move(versions.front());
  };
  CHECK(row("a").version.not_after == 99);
  CHECK(row("b").version.not_after == std::nullopt);
  CHECK(row("b").version.public_key == Bytes(3, 2));
  CHECK(row("c").version.not_after == 100);
  CHECK(row("c").version.public_key.empty());
  CHECK(row("c").mac.text == "mac-c");
  CHECK(row("c").version.kid == Kid("kid-c"));
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

/// Appends one entry; `odd` ones another within a part that is undone, or fail after it.
Status AppendOddly(soci::session& session, const Clock& clock, int odd) {
  SKMS_TRYV(AppendAudit(session, clock, {}));
  if (odd % 3 == 1) {
    const Status undone = WithinSavepoint(session, [&](soci::session& part) -> Status {
      SKMS_TRYV(AppendAudit(part, clock, {}));
      return ChangedMeanwhile("undone");
    });
    CHECK(undone.has_error());
    return AppendAudit(session, clock, {});
  }
  if (odd % 3 == 2) return ChangedMeanwhile("refused");
  return Ok();
}

TEST_CASE("in commits of many the chain goes on from what stands, and not from what was undone") {
  const Fixture f;
  constexpr int kThreads = 8;
  constexpr int kTurns = 60;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  std::atomic<int> entries{0};
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int turn = 0; turn < kTurns; ++turn) {
        const int odd = thread + turn;
        const Status done =
            f.database->Write([&](soci::session& session) { return AppendOddly(session, f.clock, odd); });
        if (done.has_value()) entries += odd % 3 == 1 ? 2 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(entries == kThreads * kTurns);  // of three, one has two entries and one none
  CHECK(LastVerified(*f.database) == entries);
  // Otherwise each change was alone, and nothing was tried.
  CHECK(f.database->figures().commits.count() < kThreads * kTurns);
}

TEST_CASE("changes() is even, grows with what touches anything, and not with what does not") {
  const Fixture f;
  const DatabaseWork append = [&](soci::session& session) { return AppendAudit(session, f.clock, {}); };
  const std::uint64_t before = f.database->changes();
  CHECK(before % 2 == 0);
  REQUIRE(f.database->Write(append, Touches::kNothingDelivered).has_value());
  REQUIRE(f.database->BeginPatientWrite(append).get().has_value());
  CHECK(f.database->changes() == before);
  std::uint64_t within = 0;
  REQUIRE(f.database
              ->Write([&](soci::session& session) {
                within = f.database->changes();
                return append(session);
              })
              .has_value());
  CHECK(within % 2 == 1);
  CHECK(f.database->changes() == before + 2);
  CHECK(f.database->Write([](soci::session&) -> Status { return ChangedMeanwhile("refused"); }).has_error());
  CHECK(f.database->changes() % 2 == 0);
}

}  // namespace
}  // namespace skms::keystore
