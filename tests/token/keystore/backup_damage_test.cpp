// What somebody who may write the database does to the backups of it, and what is said of that.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "keystore/database_snapshot.h"
#include "keystore/token_signature.h"
#include "tests/token/keystore/backup_fixture.h"

namespace skms::keystore {
namespace {

using test_fixture::BackupFixture;
using test_fixture::ForUser;
using test_fixture::Must;

bool Names(const RowCheck& check, const std::string& what) {
  return std::any_of(check.trouble.begin(), check.trouble.end(),
                     [&](const std::string& one) { return one.find(what) != std::string::npos; });
}

class DamagedFixture : public BackupFixture {
 public:
  explicit DamagedFixture(int keys) {
    for (int i = 0; i < keys; ++i) Must(store->Deliver(Val1(), ForUser(std::to_string(i))));
    Must(store->SignAudit());
  }
  std::string KidOf(int user) const {
    return Text("SELECT kid FROM key_versions WHERE target = '" + std::to_string(user) + "'");
  }
  /// Of the database as it is now, with nobody at it.
  DatabaseCheck Check() {
    Close();
    DatabaseCheck found = Must(CheckDatabase(options().path, *module, 10));
    Reopen();
    return found;
  }
};

TEST_CASE("a chain whose signed entries were changed is not backed up as if it were whole") {
  DamagedFixture f(1);
  f.Tamper("UPDATE audit SET actor = 'somebody' WHERE seq = 2");
  REQUIRE(f.store->SignAudit().has_value());  // who looks from the last checkpoint on sees nothing
  const auto refused = f.store->MakeBackup(f.admin, f.Order());
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::kIntegrity);
  CHECK(refused.error().detail.find("entry 2 was changed") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(f.Order().path));
  CHECK_FALSE(std::filesystem::exists(f.Order().scratch));
  const BackupMade made = Must(f.store->MakeBackup(f.admin, f.OrderWithDamage()));
  REQUIRE(made.damage.size() == 1);
  CHECK(made.damage[0].find("entry 2 was changed") != std::string::npos);
  CHECK(f.LastEntry().find("damage: the audit chain is not whole: entry 2 was changed") != std::string::npos);
}

TEST_CASE("one that was changed before it was signed is not either, and never signed") {
  BackupFixture f;
  f.Tamper("UPDATE audit SET actor = 'somebody' WHERE seq = 2");
  CHECK(f.store->MakeBackup(f.admin, f.Order()).error().code == ErrorCode::kIntegrity);
  CHECK_FALSE(std::filesystem::exists(f.Order().path));
  const BackupMade made = Must(f.store->MakeBackup(f.admin, f.OrderWithDamage()));
  CHECK(made.header.checkpoint.empty());
  CHECK(made.damage.size() == 1);
}

TEST_CASE("a directory without which no daemon starts is not backed up unnoticed") {
  DamagedFixture f(0);
  f.Tamper("UPDATE principals SET role = 'group-server' WHERE id = 'val-2'");
  const auto refused = f.store->MakeBackup(f.admin, f.Order());
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::kIntegrity);
  CHECK(refused.error().detail.find("principal 'val-2'") != std::string::npos);
}

TEST_CASE("rows that cannot even be read are counted and named, and the others looked at") {
  DamagedFixture f(6);
  const std::int64_t rows = Must(f.store->CheckRows(10)).rows;
  f.Tamper("UPDATE key_versions SET state = 'bogus' WHERE target = '1'");
  f.Tamper("UPDATE key_versions SET profile = 'nonsense' WHERE target = '2'");
  f.Tamper(std::string("UPDATE key_versions SET ") + (f.of_sqlite() ? "version = 'many'" : "state = ''") +
           " WHERE target = '3'");
  f.Tamper("UPDATE key_versions SET not_before = 1 WHERE target = '5'");
  const RowCheck check = Must(f.store->CheckRows(10));
  CHECK(check.rows == rows);
  CHECK(check.damaged == 4);
  for (const int user : {1, 2, 3, 5}) CHECK_MESSAGE(Names(check, f.KidOf(user)), user);
  for (const int user : {0, 4}) CHECK_FALSE_MESSAGE(Names(check, f.KidOf(user)), user);
  CHECK(check.failed == 0);
}

TEST_CASE("rows that no walk meets are counted") {
  DamagedFixture f(2);
  f.Tamper("UPDATE key_versions SET mac_generation = 0, kek_generation = 0 WHERE target = '0'");
  const RowCheck check = Must(f.store->CheckRows(10));
  CHECK(check.damaged == 1);
  CHECK(Names(check, "1 rows of table key_versions"));
}

TEST_CASE("rows of groups and payloads that cannot be read are damaged, too") {
  BackupFixture f;
  f.Tamper(
      "INSERT INTO val_groups (id, services, revision, deleted, members, digests, floors, created, changed,"
      " mac_generation, mac) VALUES ('g', 's', 1, 0, 0, '!', '', 0, 0, 1, '')");
  f.Tamper("UPDATE principals SET certificate_spki = '!' WHERE id = 'val-2'");
  const RowCheck check = Must(f.store->CheckRows(10));
  CHECK(check.damaged == 2);
  CHECK(Names(check, "group 'g'"));
  CHECK(Names(check, "principal 'val-2'"));
}

TEST_CASE("a whole database is looked at, whatever is found in it") {
  DamagedFixture f(1);
  SKMS_OF_SQLITE(f);
  CHECK(f.Check().sound());
  f.Tamper("UPDATE audit SET actor = 'somebody' WHERE seq = 2");
  f.Tamper("UPDATE key_versions SET state = 'bogus'");
  const DatabaseCheck found = f.Check();
  CHECK(found.readable);
  CHECK(found.chain == "entry 2 was changed");
  CHECK(found.rows.damaged == 1);
  CHECK(found.entries == Must(f.store->Audit()).entries);
  f.Close();
  f.Tamper("UPDATE meta SET value = 'x' WHERE name LIKE 'token_key%'");
  const DatabaseCheck lost = Must(CheckDatabase(f.options().path, *f.module, 10));
  CHECK_FALSE(lost.readable);
  CHECK_FALSE(lost.sound());
  CHECK(Names(lost.rows, "was changed outside skms"));
}

TEST_CASE("a restore with damage says in the chain what is damaged") {
  DamagedFixture f(2);
  f.Tamper("UPDATE key_versions SET state = 'bogus' WHERE target = '1'");
  f.Tamper("UPDATE audit SET actor = 'somebody' WHERE seq = 2");
  const std::string kid = f.KidOf(1);
  const BackupMade made = Must(f.store->MakeBackup(f.admin, f.OrderWithDamage()));
  f.Close();
  const BackupContents contents = Must(f.Open());
  const DatabaseCheck found = Must(CheckDatabase(f.restored(), *f.module, 0));
  {
    const auto store = Must(KeyStore::Open({f.restored()}, *f.module, f.clock));
    Must(store->RecordRestore(f.admin, contents, found, "approval=none"));
    AuditQuery query;
    query.action = "backup.restore";
    const auto recorded = Must(store->SearchAudit(query));
    REQUIRE(recorded.size() == 1);
    const std::string& reason = recorded[0].entry.reason;
    CHECK(reason.find("damaged=1 chain=changed: entry 2 was changed") != std::string::npos);
    CHECK(reason.find(kid) != std::string::npos);
    // The row is there, and of no use; the other is.
    CHECK(store->Deliver(f.Val1(), ForUser("1")).error().code == ErrorCode::kIntegrity);
    CHECK(store->Deliver(f.Val1(), ForUser("0")).has_value());
  }
}

TEST_CASE("what was changed after the last checkpoint is restored, and never signed") {
  DamagedFixture f(1);
  const std::int64_t signed_up_to = Must(f.store->LastCheckpoint())->seq;
  Must(f.store->Deliver(f.Val1(), ForUser("late")));
  f.Tamper("UPDATE audit SET actor = 'somebody' WHERE seq > " + std::to_string(signed_up_to));
  Must(f.store->MakeBackup(f.admin, f.OrderWithDamage()));
  f.Close();
  const BackupContents contents = Must(f.Open());
  const DatabaseCheck found = Must(CheckDatabase(f.restored(), *f.module, 0));
  const auto store = Must(KeyStore::Open({f.restored()}, *f.module, f.clock));
  Must(store->RecordRestore(f.admin, contents, found, "approval=none"));
  CHECK(Must(store->LastCheckpoint())->seq == signed_up_to);
  // Where the chain was whole that is no excuse.
  CHECK(store->RecordRestore(f.admin, contents, found, "approval=none").error().code ==
        ErrorCode::kIntegrity);
}

TEST_CASE("the report of a drill is recorded once, and only while it is new") {
  BackupFixture f;
  f.clock.Advance(std::chrono::hours(1));
  const auto signed_at = [&f](std::int64_t time_ms) {
    DrillReport report;
    report.hash = std::string(64, 'b');
    report.backup_ms = 1000;
    report.time_ms = time_ms;
    return Must(SignJws(*f.module, 1, kDrillType, DrillReportText(report)));
  };
  const std::int64_t now = f.clock.NowMilliseconds();
  const std::string report = signed_at(now);
  Must(f.store->RecordBackupCheck(f.admin, report));
  CHECK(f.LastEntry().find("backup.drill passed at=" + FormatUtc(now / 1000) +
                           " made=1970-01-01T00:00:01Z") == 0);
  CHECK(f.store->RecordBackupCheck(f.admin, report).error().code == ErrorCode::kAlreadyExists);
  // The same result of another moment is another drill.
  Must(f.store->RecordBackupCheck(f.admin, signed_at(now + 1)));
  CHECK(f.store->RecordBackupCheck(f.admin, report).error().code == ErrorCode::kAlreadyExists);
  CHECK(f.store->RecordBackupCheck(f.admin, signed_at(now + 120000)).error().code ==
        ErrorCode::kInvalidArgument);
  const std::string old = signed_at(now + 2);
  f.clock.Advance(std::chrono::minutes(11));
  CHECK(f.store->RecordBackupCheck(f.admin, old).error().code == ErrorCode::kInvalidArgument);
  CHECK(f.store->RecordBackupCheck(f.admin, report).error().code == ErrorCode::kInvalidArgument);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'backup.drill'") == 2);
}

TEST_CASE("a log or journal that is left keeps a database's place, with or without it") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("skms.db");
  const std::string made = directory.File("made");
  for (const char* suffix : {"-wal", "-journal"}) {
    const std::string beside = path + suffix;
    for (const bool with_file : {false, true}) {
      CAPTURE(beside);
      std::ofstream(made) << "restored";
      if (with_file) std::ofstream(path).flush();
      std::ofstream(beside) << "acknowledged";
      const auto content = HasContent(path);
      REQUIRE(content.has_error());
      CHECK(content.error().code == ErrorCode::kConflict);
      CHECK(content.error().detail.find(beside + " holds 12 octets") != std::string::npos);
      CHECK(ReplaceDatabase(made, path).error().code == ErrorCode::kConflict);
      CHECK(ReadFile(beside).value() == "acknowledged");
      std::ofstream(beside).flush();  // emptied: nothing is lost with it
      CHECK_FALSE(HasContent(path).value());
      Must(ReplaceDatabase(made, path));
      CHECK(ReadFile(path).value() == "restored");
      CHECK_FALSE(std::filesystem::exists(beside));
      std::filesystem::remove(path);
    }
  }
}

class LargeFixture : public BackupFixture {
 public:
  /// So many mebibytes more than before, so that a snapshot takes several steps.
  explicit LargeFixture(int mebibytes) {
    const std::string octets = std::to_string(mebibytes * 524288);
    Tamper("INSERT INTO meta (name, value) VALUES ('padding', " +
           (of_sqlite() ? "hex(randomblob(" + octets + ")))" : "repeat('ab', " + octets + "))"));
  }
};

TEST_CASE("a backup that is stopped ends at once wherever it is, and leaves nothing") {
  LargeFixture f(9);
  int asked = 0;
  BackupOrder order = f.Order();
  order.stopped = [&asked] { return ++asked < 0; };
  Must(f.store->MakeBackup(f.admin, order));
  const int all = asked;
  REQUIRE(all > 20);  // steps of the copy, entries of the chain, parts of the file
  std::filesystem::remove(order.path);
  const auto entries = Must(f.store->Audit()).entries;
  for (int last = 1; last < all; last += 3) {
    CAPTURE(last);
    asked = 0;
    order.stopped = [&asked, last] { return ++asked >= last; };
    const auto stopped = f.store->MakeBackup(f.admin, order);
    REQUIRE(stopped.has_error());
    CHECK(stopped.error().code == ErrorCode::kResourceExhausted);
    CHECK(asked <= last + 1);
    CHECK_FALSE(std::filesystem::exists(order.path));
    CHECK_FALSE(std::filesystem::exists(order.scratch));
    CHECK_FALSE(std::filesystem::exists(order.scratch + "-wal"));
  }
  CHECK(Must(f.store->Audit()).entries == entries);
}

TEST_CASE("what is written between the steps of a snapshot is not in it, and does not begin it anew") {
  LargeFixture f(9);
  int asked = 0;
  BackupOrder order = f.Order();
  order.stopped = [&] {
    if (++asked <= 3) Must(f.store->Deliver(f.Val1(), ForUser("during-" + std::to_string(asked))));
    return false;
  };
  const BackupMade made = Must(f.store->MakeBackup(f.admin, order));
  CHECK(asked > 6);
  CHECK(made.header.key_versions == 0);
  CHECK(Must(f.store->CountKeyVersions()) == 3);
}

}  // namespace
}  // namespace skms::keystore
