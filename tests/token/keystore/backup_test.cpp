// Backups made and opened by a token, against somebody who may write the database.
#include "keystore/backup.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "keystore/database_snapshot.h"
#include "keystore/scratch_directory.h"
#include "tests/token/keystore/backup_fixture.h"

namespace skms::keystore {
namespace {

using test_fixture::BackupFixture;
using test_fixture::ForUser;
using test_fixture::Must;

TEST_CASE("a backup opens to a database with the same rows, and its snapshot is gone") {
  BackupFixture f;
  REQUIRE(f.store->Deliver(f.Val1(), ForUser("a")).has_value());
  REQUIRE(f.store->Deliver(f.Val1(), ForUser("b")).has_value());
  const BackupMade made = Must(f.store->MakeBackup(f.admin, f.Order()));
  CHECK(made.header.key_versions == 2);
  CHECK(made.header.services == 1);
  CHECK(made.header.kek == std::set<std::uint32_t>{1});
  CHECK(made.header.mac == std::set<std::uint32_t>{1});
  CHECK(made.header.strict_kek.empty());
  CHECK_FALSE(made.header.checkpoint.empty());
  CHECK_FALSE(std::filesystem::exists(f.Order().scratch));
  CHECK_FALSE(std::filesystem::exists(f.Order().scratch + ".lock"));
  CHECK(f.Text("SELECT action || ' ' || actor FROM audit ORDER BY seq DESC LIMIT 1") ==
        "backup.create admin:0");
  const BackupContents contents = Must(f.Open());
  CHECK(contents.statement.hash == made.statement.hash);
  CHECK(contents.header.entries == made.header.entries);
  const auto kids = f.Text("SELECT min(kid) || max(kid) || count(*) FROM key_versions");
  f.Close();
  const auto store = Must(KeyStore::Open({f.restored()}, *f.module, f.clock));
  CHECK(Must(store->CountKeyVersions()) == 2);
  const RowCheck check = Must(store->CheckRows(10));
  CHECK(check.rows == 5);  // two keys, a service, two principals
  CHECK(check.damaged == 0);
  CHECK(check.sampled == 2);
  CHECK(check.failed == 0);
  DatabaseCheck found;
  found.rows = check;
  Must(store->RecordRestore(f.admin, contents, found, "approval=none"));
  const AuditVerdict verdict = Must(store->VerifyAudit());
  CHECK(verdict.last == made.header.entries + 1);
  CHECK(verdict.signed_up_to == verdict.last);
  CHECK(kids.size() > 40);
  // Twice is not what the header says.
  CHECK(store->RecordRestore(f.admin, contents, found, "approval=none").error().code ==
        ErrorCode::kIntegrity);
}

TEST_CASE("a backup that cannot be recorded is not made") {
  BackupFixture f;
  REQUIRE(f.store->SignAudit().has_value());
  f.RefuseEntries();
  CHECK(f.store->MakeBackup(f.admin, f.Order()).has_error());
  CHECK_FALSE(std::filesystem::exists(f.Order().path));
}

TEST_CASE("rows that were changed are counted and named, and the others opened") {
  BackupFixture f;
  REQUIRE(f.store->Deliver(f.Val1(), ForUser("a")).has_value());
  REQUIRE(f.store->Deliver(f.Val1(), ForUser("b")).has_value());
  const std::string kid = f.Text("SELECT kid FROM key_versions WHERE target = 'a'");
  f.Tamper("UPDATE key_versions SET not_before = 0 WHERE target = 'a'");
  const RowCheck damaged = Must(f.store->CheckRows(10));
  CHECK(damaged.damaged == 1);
  REQUIRE(damaged.trouble.size() == 1);
  CHECK(damaged.trouble[0].find("key " + kid) != std::string::npos);
  CHECK(damaged.trouble[0].find("'a'") == std::string::npos);  // no user's name
  f.Tamper(
      "UPDATE key_versions SET wrapped = (SELECT wrapped FROM key_versions WHERE target = 'b'), profile = "
      "'aes-128'"
      " WHERE target = 'a'");
  CHECK(Must(f.store->CheckRows(10)).damaged == 1);
}

TEST_CASE("a key that does not open fails the check, whatever its MAC says") {
  BackupFixture f;
  REQUIRE(f.store->Deliver(f.Val1(), ForUser("a")).has_value());
  f.Tamper("UPDATE key_versions SET wrapped = replace(wrapped, substr(wrapped, 1, 4), 'AAAA')");
  const RowCheck check = Must(f.store->CheckRows(10));
  CHECK(check.failed == 1);
  CHECK(check.trouble.back().find("does not open") != std::string::npos);
}

TEST_CASE("a sample takes so many of each state, and no tombstones") {
  BackupFixture f;
  for (int i = 0; i < 5; ++i) REQUIRE(f.store->Deliver(f.Val1(), ForUser(std::to_string(i))).has_value());
  const Kid kid(f.Text("SELECT kid FROM key_versions WHERE target = '4'"));
  REQUIRE(f.store->Rotate(f.admin, ForUser("3")).has_value());
  REQUIRE(f.store->ChangeKey(f.admin, kid, {"compromise", "drill"}).has_value());
  CHECK(Must(f.store->CheckRows(2)).could_open == 6);
  REQUIRE(f.store->ChangeKey(f.admin, kid, {"destroy", "drill"}).has_value());
  const RowCheck check = Must(f.store->CheckRows(2));
  CHECK(check.could_open == 5);
  CHECK(check.sampled >= 2);
  CHECK(check.sampled <= 4);
  CHECK(check.failed == 0);
}

TEST_CASE("what no token of ours signed is not recorded as looked at") {
  BackupFixture f;
  const BackupMade made = Must(f.store->MakeBackup(f.admin, f.Order()));
  Must(f.store->RecordBackupCheck(f.admin, made.jws));
  CHECK(f.LastEntry() ==
        "backup.shown made=" + FormatUtc(made.header.time_ms / 1000) + " sha256=" + made.statement.hash);
  const auto before = Must(f.store->Audit()).entries;
  std::string forged = made.jws;
  forged[forged.size() - 5] = forged[forged.size() - 5] == 'A' ? 'B' : 'A';
  CHECK(f.store->RecordBackupCheck(f.admin, forged).error().code == ErrorCode::kInvalidArgument);
  CHECK(f.store->RecordBackupCheck(f.admin, "x").error().code == ErrorCode::kInvalidArgument);
  const auto checkpoint = Must(f.store->LastCheckpoint());
  CHECK(f.store->RecordBackupCheck(f.admin, checkpoint->jws).error().code == ErrorCode::kInvalidArgument);
  CHECK(Must(f.store->Audit()).entries == before);
}

TEST_CASE("a backup of token keys that are not there names them") {
  BackupFixture f;
  BackupHeader header;
  header.tokens = "hsm-a/1";
  header.kek = {1, 7};
  header.mac = {1};
  header.sign = 3;
  header.data_key.kek_generation = 9;
  const Status refused = CheckTokensHold(*f.module, header);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::kTokenBlank);
  CHECK(refused.error().detail.find("needs skms-kek-7, skms-kek-9, skms-sign-3, which") != std::string::npos);
  CHECK(refused.error().detail.find("hsm-a/1") != std::string::npos);
}

TEST_CASE("what decrypts to no whole database is refused and leaves nothing") {
  BackupFixture f;
  std::ofstream(f.Order().scratch) << "no database";
  CHECK(CheckDatabaseFile(f.Order().scratch).error().code == ErrorCode::kIntegrity);
  CHECK(HasContent(f.Order().scratch).has_error());
  REQUIRE(RemoveDatabase(f.Order().scratch).has_value());
  CHECK_FALSE(HasContent(f.Order().scratch).value());
  SKMS_OF_SQLITE(f);
  f.Close();
  CHECK(HasContent(f.options().path).value());
}

TEST_CASE("a scratch directory is one process's, goes in the end, and what was left in it goes before") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("scratch");
  std::filesystem::create_directory(path);
  std::ofstream(path + "/left") << "by a process that was killed";
  {
    const ScratchDirectory scratch = Must(ScratchDirectory::Make(path));
    CHECK(std::filesystem::is_empty(path));
    CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms::owner_all);
    CHECK(ScratchDirectory::Make(path).error().code == ErrorCode::kConflict);
    std::ofstream(scratch.database()) << "x";
    Must(ScratchDirectory::RemoveLeft(path));
    CHECK(std::filesystem::exists(scratch.database()));  // somebody is at it
  }
  CHECK_FALSE(std::filesystem::exists(path));
  std::filesystem::create_directory(path);
  Must(ScratchDirectory::RemoveLeft(path));
  CHECK_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace skms::keystore
