#include "keystore/database.h"

#include <doctest/doctest.h>
#include <soci/soci.h>

#include <chrono>
#include <future>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace skms::keystore {
namespace {

struct DatabaseFixture {
  DatabaseFixture() {
    REQUIRE(Database::CreateFile(directory.File("d")).has_value());
    Reopen();
    REQUIRE(database
                ->Write([](soci::session& session) -> Status {
                  session << "CREATE TABLE t (n INTEGER PRIMARY KEY)";
                  return Ok();
                })
                .has_value());
  }
  void Reopen() {
    database.reset();
    database = std::move(Database::Open(directory.File("d"))).value();
  }
  static DatabaseWork Insert(int n) {
    return [n](soci::session& session) -> Status {
      session << "INSERT INTO t (n) VALUES (:n)", soci::use(n);
      return Ok();
    };
  }
  int Rows() const {
    int rows = 0;
    REQUIRE(database
                ->Read([&](soci::session& session) -> Status {
                  session << "SELECT count(*) FROM t", soci::into(rows);
                  return Ok();
                })
                .has_value());
    return rows;
  }
  test::TemporaryDirectory directory;
  std::unique_ptr<Database> database;
};

TEST_CASE("a patient write is committed by itself where nobody else writes") {
  const DatabaseFixture f;
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::future<Status>> outcomes;
  outcomes.reserve(30);
  for (int n = 0; n < 30; ++n) outcomes.push_back(f.database->BeginPatientWrite(DatabaseFixture::Insert(n)));
  for (auto& outcome : outcomes) CHECK(outcome.get().has_value());
  // Eight in a commit, and each of the four has waited for somebody to go along with.
  CHECK(std::chrono::steady_clock::now() - begun >= std::chrono::milliseconds(80));
  CHECK(f.Rows() == 30);
}

TEST_CASE("a patient write that fails takes no other with it, and none of them it") {
  const DatabaseFixture f;
  auto good = f.database->BeginPatientWrite(DatabaseFixture::Insert(1));
  auto bad = f.database->BeginPatientWrite([](soci::session& session) -> Status {
    session << "INSERT INTO t (n) VALUES (2)";
    return Conflict("no");
  });
  CHECK(f.database->Write(DatabaseFixture::Insert(3)).has_value());
  CHECK(f.database->Write(DatabaseFixture::Insert(3)).has_error());
  CHECK(good.get().has_value());
  CHECK(bad.get().error().code == ErrorCode::kConflict);
  CHECK(f.Rows() == 2);
}

TEST_CASE("what waits when the database is closed is written first") {
  DatabaseFixture f;
  std::vector<std::future<Status>> outcomes;
  outcomes.reserve(30);
  for (int n = 0; n < 30; ++n) outcomes.push_back(f.database->BeginPatientWrite(DatabaseFixture::Insert(n)));
  f.Reopen();
  for (auto& outcome : outcomes) CHECK(outcome.get().has_value());
  CHECK(f.Rows() == 30);
}

}  // namespace
}  // namespace skms::keystore
