// The database fails: nothing is handed out, nothing is half made, and service goes on when it is mended.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>
#include <vector>

#include "keystore/schema.h"
#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

TEST_CASE("a service that was removed meanwhile gets no key") {
  StoreFixture f;
  f.Tamper("DELETE FROM services WHERE id = 's'");  // as if the removal had come between decision and commit
  CHECK(f.store->Deliver(f.Val1(), ForService()).error().code == ErrorCode::kChangedMeanwhile);
  CHECK(f.Number("SELECT count(*) FROM key_versions") == 0);
}

TEST_CASE("an audit entry that cannot be written stops the delivery, a grant as well as a refusal") {
  StoreFixture f;
  REQUIRE(f.store->Deliver(f.Val1(), ForService()).has_value());
  f.RefuseEntries();
  CHECK(f.store->Deliver(f.Val1(), ForService()).error().code == ErrorCode::kStorage);
  CHECK(f.store->Deliver(f.Val2(), ForService()).error().code == ErrorCode::kStorage);
  CHECK(f.store->RecordRefusal({"deliver", "unknown", "token-missing", "r"}).error().code ==
        ErrorCode::kStorage);
  CHECK(f.store->Deliver(f.Val1(), ForUser("new")).error().code == ErrorCode::kStorage);
  CHECK(f.store->Rotate(f.admin, ForService()).error().code == ErrorCode::kStorage);
  CHECK(f.Number("SELECT count(*) FROM key_versions") == 1);
  CHECK(f.Text("SELECT state FROM key_versions") == "active");
  f.AcceptEntries();
  CHECK(f.store->Deliver(f.Val1(), ForService()).has_value());
  CHECK(f.store->VerifyAudit().has_value());
}

TEST_CASE("a directory change whose audit entry cannot be written does not happen") {
  StoreFixture f;
  f.RefuseEntries();
  CHECK(f.store->AddService(f.admin, f.ServiceNamed("t")).error().code == ErrorCode::kStorage);
  CHECK(f.store->FindService(ValServiceId("t")).error().code == ErrorCode::kNotFound);
  CHECK(f.Number("SELECT count(*) FROM services") == 1);
}

TEST_CASE("one change that fails takes none of its neighbours in the same commit with it") {
  StoreFixture f;
  f.RefuseEntries("bad");
  std::atomic<int> good{0};
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  threads.reserve(16);
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      const auto recorded = f.store->RecordRefusal({"deliver", "unknown", i % 2 == 0 ? "bad" : "fine", "r"});
      ++(recorded.has_value() ? good : bad);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 8);
  CHECK(bad == 8);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE reason = 'fine'") == 8);
  CHECK(f.store->VerifyAudit().has_value());
}

TEST_CASE("a missing database names the command that makes it; an empty one too") {
  StoreFixture f;
  const auto missing = KeyStore::Open({f.token.directory() + "/none.db"}, *f.module, f.clock);
  REQUIRE(missing.has_error());
  CHECK(missing.error().code == ErrorCode::kStorage);
  CHECK(missing.error().detail.find("skmsctl init") != std::string::npos);
  const std::string empty = f.token.directory() + "/empty.db";
  std::fclose(std::fopen(empty.c_str(), "w"));
  CHECK(KeyStore::Open({empty}, *f.module, f.clock).error().detail.find("skmsctl init") != std::string::npos);
}

TEST_CASE("a file that is no database is refused") {
  StoreFixture f;
  const std::string path = f.token.directory() + "/noise.db";
  FILE* file = std::fopen(path.c_str(), "w");
  for (int i = 0; i < 1000; ++i) std::fputs("noise ", file);
  std::fclose(file);
  CHECK(KeyStore::Open({path}, *f.module, f.clock).error().code == ErrorCode::kStorage);
}

TEST_CASE("a database from a newer version is refused and left alone") {
  StoreFixture f;
  f.Close();
  f.Tamper("UPDATE meta SET value = '99' WHERE name = 'schema_version'");
  for (const Status& refused : {KeyStore::Initialise(f.options(), *f.module, f.clock), [&]() -> Status {
                                  auto opened = KeyStore::Open(f.options(), *f.module, f.clock);
                                  if (opened.has_error()) return opened.error();
                                  return Ok();
                                }()}) {
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == ErrorCode::kNewerSchema);
    CHECK(refused.error().detail.find("upgrade skms") != std::string::npos);
  }
  CHECK(f.Text("SELECT value FROM meta WHERE name = 'schema_version'") == "99");
}

/// As the former version left it.
void BackToSchema5(const StoreFixture& f) {
  f.Tamper("DROP TABLE audit_checkpoints");
  f.Tamper("ALTER TABLE services DROP COLUMN recipients");
  f.Tamper("UPDATE meta SET value = '5' WHERE name = 'schema_version'");
}

TEST_CASE("a database of an older version is copied before it is brought forward, and its keys stay") {
  StoreFixture f;
  SKMS_OF_SQLITE(f);
  const Kid kid = f.store->Deliver(f.Val1(), ForService()).value().keys.at(0).version.kid;
  f.Close();
  const std::string copy = f.options().path + ".schema-5";
  CHECK(::access(copy.c_str(), F_OK) != 0);
  BackToSchema5(f);
  std::ofstream(copy) << "what an earlier try left";
  std::ofstream(copy + ".new") << "what one left that was cut off";
  f.Reopen();
  CHECK(f.Text("SELECT value FROM meta WHERE name = 'schema_version'") == std::to_string(kSchemaVersion));
  CHECK(f.store->Deliver(f.Val1(), ForService()).value().keys.at(0).version.kid == kid);
  struct stat status {};
  REQUIRE(::stat(copy.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(::access((copy + ".new").c_str(), F_OK) != 0);
  // The way back: the copy is a whole database of the older version.
  f.Close();
  for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((f.options().path + suffix).c_str());
  REQUIRE(::rename(copy.c_str(), f.options().path.c_str()) == 0);
  CHECK(f.Text("SELECT value FROM meta WHERE name = 'schema_version'") == "5");
  CHECK(f.Text("SELECT kid FROM key_versions") == kid.value());
  f.Reopen();
  CHECK(f.store->Deliver(f.Val1(), ForService()).value().keys.at(0).version.kid == kid);
}

TEST_CASE("a database that cannot be copied is not brought forward") {
  StoreFixture f;
  SKMS_OF_SQLITE(f);
  f.Close();
  BackToSchema5(f);
  const std::string copy = f.options().path + ".schema-5";
  REQUIRE(::mkdir(copy.c_str(), 0700) == 0);  // in the copy's place, so that it fails for root as well
  const auto refused = KeyStore::Open(f.options(), *f.module, f.clock);
  REQUIRE(refused.has_error());
  CHECK(refused.error().detail.find(copy) != std::string::npos);
  CHECK(f.Text("SELECT value FROM meta WHERE name = 'schema_version'") == "5");
  CHECK(::access((copy + ".new").c_str(), F_OK) != 0);
  REQUIRE(::rmdir(copy.c_str()) == 0);
  f.Reopen();
}

TEST_CASE("a database that is current is not copied") {
  StoreFixture f;
  f.Close();
  f.Reopen();
  CHECK(::access((f.options().path + ".schema-" + std::to_string(kSchemaVersion)).c_str(), F_OK) != 0);
}

TEST_CASE("a second process is kept out, and the file is its owner's alone") {
  StoreFixture f;
  const auto second = KeyStore::Open(f.options(), *f.module, f.clock);
  REQUIRE(second.has_error());
  CHECK(second.error().code == ErrorCode::kConflict);
  if (!f.of_sqlite()) {
    // Of another host, where nothing tells of the first but the server.
    const auto other =
        KeyStore::Open({f.token.directory() + "/other.db", 0, f.options().url}, *f.module, f.clock);
    REQUIRE(other.has_error());
    CHECK(other.error().code == ErrorCode::kConflict);
    CHECK(other.error().detail.find("is in use by another skmsd") != std::string::npos);
  }
  SKMS_OF_SQLITE(f);
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    CAPTURE(suffix);
    struct stat status {};
    REQUIRE(::stat((f.options().path + suffix).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
  }
}

TEST_CASE("init again keeps everything") {
  StoreFixture f;
  const Kid kid = f.store->Deliver(f.Val1(), ForService()).value().keys.at(0).version.kid;
  f.Close();
  REQUIRE(KeyStore::Initialise(f.options(), *f.module, f.clock).has_value());
  f.Reopen();
  CHECK(f.store->Deliver(f.Val1(), ForService()).value().keys.at(0).version.kid == kid);
}

}  // namespace
}  // namespace skms::keystore
