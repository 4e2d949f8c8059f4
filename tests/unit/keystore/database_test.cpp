#include "keystore/database.h"

#include <doctest/doctest.h>
#include <soci/soci.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <thread>
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
  // Sixteen in a commit, and each of the two has waited for somebody to go along with.
  CHECK(std::chrono::steady_clock::now() - begun >= std::chrono::milliseconds(40));
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

TEST_CASE("entries of one commit share a savepoint, and one that fails is told alone") {
  const DatabaseFixture f;
  std::promise<void> begun;
  std::promise<void> all_wait;
  // The writer is busy until all of them are queued, so that they come in one commit.
  auto busy = std::async(std::launch::async, [&] {
    return f.database->Write([&](soci::session& /*session*/) -> Status {
      begun.set_value();
      all_wait.get_future().wait();
      return Ok();
    });
  });
  begun.get_future().wait();
  std::atomic<int> runs{0};
  const auto append = [&](int n, bool fails) {
    return std::async(std::launch::async, [&, n, fails] {
      return f.database->AppendEntries([&, n, fails](soci::session& session) -> Status {
        ++runs;
        SKMS_TRYV(DatabaseFixture::Insert(n)(session));
        return fails ? Status(Conflict("no")) : Ok();
      });
    });
  };
  const auto queued = [&](std::size_t many) {
    while (f.database->figures().writes_queued < many) std::this_thread::yield();
  };
  std::vector<std::future<Status>> good;
  for (int n = 1; n <= 4; ++n) good.push_back(append(n, false));
  queued(4);
  auto bad = append(5, true);
  auto doubled = append(1, false);
  queued(6);
  auto other = std::async(std::launch::async, [&] { return f.database->Write(DatabaseFixture::Insert(6)); });
  queued(7);
  all_wait.set_value();
  CHECK(busy.get().has_value());
  int stand = 0;
  for (auto& outcome : good) stand += outcome.get().has_value() ? 1 : 0;
  const bool second_of_two = doubled.get().has_value();
  CHECK(stand + (second_of_two ? 1 : 0) == 4);  // of the two with number 1 the one that came first
  CHECK(bad.get().error().code == ErrorCode::kConflict);
  CHECK(other.get().has_value());
  CHECK(f.Rows() == 5);
  CHECK(runs > 6);  // together up to the first that failed, then one by one
}

TEST_CASE("entries that all stand run once") {
  const DatabaseFixture f;
  std::atomic<int> runs{0};
  std::vector<std::future<Status>> outcomes;
  outcomes.reserve(64);
  for (int n = 0; n < 64; ++n) {
    outcomes.push_back(std::async(std::launch::async, [&, n] {
      return f.database->AppendEntries([&, n](soci::session& session) -> Status {
        ++runs;
        return DatabaseFixture::Insert(n)(session);
      });
    }));
  }
  for (auto& outcome : outcomes) CHECK(outcome.get().has_value());
  CHECK(f.Rows() == 64);
  CHECK(runs == 64);
}

TEST_CASE("what is committed moves from the log into the file while the database is open") {
  const DatabaseFixture f;
  const auto size = [&f] { return std::filesystem::file_size(f.directory.File("d")); };
  REQUIRE(f.database->EmptyLog().has_value());
  const auto before = size();
  for (int n = 0; n < 2000; ++n) REQUIRE(f.database->Write(DatabaseFixture::Insert(n)).has_value());
  for (int i = 0; i < 1000 && size() == before; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(size() > before);
}

TEST_CASE("the log is emptied however busy the writer and the mover of pages are") {
  const DatabaseFixture f;
  std::atomic<bool> ended{false};
  auto busy = std::async(std::launch::async, [&] {
    int n = 0;
    for (; !ended; ++n) {
      if (f.database->Write(DatabaseFixture::Insert(n)).has_error()) return -1;
    }
    return n;
  });
  for (int i = 0; i < 100; ++i) CHECK(f.database->EmptyLog().has_value());
  while (f.database->figures().commits.count() < 4500 &&
         busy.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
  }
  for (int i = 0; i < 100; ++i) CHECK(f.database->EmptyLog().has_value());
  ended = true;
  const int written = busy.get();
  CHECK(f.Rows() == written);
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
