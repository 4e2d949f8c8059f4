#include "keystore/database_snapshot.h"

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/new_file.h"
#include "keystore/table_copy.h"

namespace skms::keystore {
namespace {

constexpr int kPagesAtOnce = 512;  // 2 MiB

struct CloseHandle {
  void operator()(sqlite_api::sqlite3* handle) const { sqlite_api::sqlite3_close(handle); }
};
using Handle = std::unique_ptr<sqlite_api::sqlite3, CloseHandle>;

Error Refused(const std::string& path, int code) {
  std::string detail =
      path + ": the database cannot be copied there (" + sqlite_api::sqlite3_errstr(code) + ")";
  if (code == SQLITE_FULL || (code & 0xff) == SQLITE_IOERR)
    detail += ": check the free space of its file system";
  return StorageError(std::move(detail));
}

/// Within the caller's transaction, so that every step copies one and the same state, and no writer makes it
/// begin anew.
Status CopyPages(soci::session& from, const std::string& path, const std::function<bool()>& stopped) {
  // SOCI's library does not show this class's type information.
  auto* backend = static_cast<soci::sqlite3_session_backend*>(from.get_backend());  // NOLINT(*-downcast)
  sqlite_api::sqlite3* opened = nullptr;
  const int open_code = sqlite_api::sqlite3_open_v2(path.c_str(), &opened,
                                                    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, nullptr);
  const Handle to(opened);
  if (open_code != SQLITE_OK) return Refused(path, open_code);
  // It is read once, by this process: nothing has to be on the disk, and a stop need not wait for that.
  const int fast = sqlite_api::sqlite3_exec(to.get(), "PRAGMA synchronous=OFF", nullptr, nullptr, nullptr);
  if (fast != SQLITE_OK) return Refused(path, fast);
  int tables = 0;
  from << "SELECT count(*) FROM sqlite_master", soci::into(tables);  // what is read from now on is of now
  sqlite_api::sqlite3_backup* backup =
      sqlite_api::sqlite3_backup_init(to.get(), "main", backend->conn_, "main");
  if (backup == nullptr) return Refused(path, sqlite_api::sqlite3_errcode(to.get()));
  int step = SQLITE_OK;
  bool go_on = true;
  while (step == SQLITE_OK && go_on) {
    step = sqlite_api::sqlite3_backup_step(backup, kPagesAtOnce);
    go_on = !stopped();
  }
  const int finished = sqlite_api::sqlite3_backup_finish(backup);
  if (step == SQLITE_OK) return BackupStopped();
  if (step != SQLITE_DONE) return Refused(path, step);
  return finished == SQLITE_OK ? Ok() : Status(Refused(path, finished));
}

/// Of a server's database: one format for all backups, which any appliance restores and a drill opens.
Status CopyRows(Database& from, const std::string& path, const std::function<bool()>& stopped) {
  SKMS_TRY(const std::unique_ptr<Database> to, Database::Open(path));
  SKMS_TRYV(CopyDatabase(from, *to, stopped));
  return to->EmptyLog();
}

/// Whether more is in it than there is after it was made.
bool HasRows(soci::session& session) {
  // Every change has an entry in the audit chain; a chain that was archived leaves a mark.
  long long rows = 0;
  session << "SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM services)"
             " + (SELECT count(*) FROM key_versions) + (SELECT count(*) FROM meta WHERE name = "
             "'audit_archived')",
      soci::into(rows);
  return rows > 0;
}

/// What a process that was killed had acknowledged may stand there alone; and whatever stands there, SQLite
/// would take for another database's of that name.
Status CheckNothingBeside(const std::string& path) {
  for (const char* suffix : {"-wal", "-journal"}) {
    const std::string beside = path + suffix;
    std::error_code error;
    const auto size = std::filesystem::file_size(beside, error);
    if (error == std::errc::no_such_file_or_directory) continue;
    if (error) return IoError(beside, error.value());
    if (size == 0) continue;
    return Conflict(beside + " holds " + std::to_string(size) +
                    " octets, and perhaps what was acknowledged last; it belongs to a database that was not "
                    "closed. Set " +
                    path + ", " + path + "-wal, " + path + "-shm and " + path +
                    "-journal aside together, those that are there, and delete none");
  }
  return Ok();
}

std::unique_ptr<soci::session> OpenAsIs(const std::string& path) {
  auto session = std::make_unique<soci::session>(soci::sqlite3, "db=\"" + path + "\"");
  *session << "PRAGMA trusted_schema=OFF";
  return session;
}

}  // namespace

Error BackupStopped() {
  return {ErrorCode::kResourceExhausted, "the daemon is being stopped; no backup was made"};
}

Status WriteSnapshot(Database& database, const std::string& path, const std::function<bool()>& stopped) {
  if (::access(path.c_str(), F_OK) == 0) return AlreadyExists(path + " is there already");
  // SQLite takes an empty file as it is, and would make one that others can read.
  SKMS_TRYV(Database::CreateFile(path));
  Status copied =
      database.is_file()
          ? database.ReadSnapshot([&](soci::session& session) { return CopyPages(session, path, stopped); })
          : CopyRows(database, path, stopped);
  if (copied.has_error()) SKMS_TRYV(RemoveDatabase(path));
  return copied;
}

Status CheckDatabaseFile(const std::string& path) {
  std::string found;
  try {
    const auto session = OpenAsIs(path);
    *session << "PRAGMA integrity_check(1)", soci::into(found);
  } catch (const std::exception&) {
    return IntegrityError("what is in it is no whole SQLite database");
  }
  return found == "ok" ? Ok() : Status(IntegrityError("SQLite finds the database damaged: " + found));
}

Result<bool> HasContent(const std::string& path) {
  SKMS_TRYV(CheckNothingBeside(path));
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory) return false;
  if (error) return IoError(path, error.value());
  if (size == 0) return false;
  try {
    const auto session = OpenAsIs(path);
    int tables = 0;
    *session << "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('meta', 'audit', "
                "'services')",
        soci::into(tables);
    if (tables != 3) return StorageError(path + " is another database than ours; move it away");
    return HasRows(*session);
  } catch (const std::exception&) {
    return StorageError(path + " cannot be read as a database; move it away");
  }
}

Result<bool> HasContentIn(Database& database) {
  bool content = false;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    content = database.HasTable(session, "meta") && HasRows(session);
    return Ok();
  }));
  return content;
}

Status ReplaceDatabase(const std::string& made, const std::string& path) {
  std::error_code error;
  const std::string log = made + "-wal";
  if (std::filesystem::exists(log, error) && std::filesystem::file_size(log, error) > 0)
    return InternalError("the restored database is not whole without its log");
  SKMS_TRYV(SyncToDisk(made));
  SKMS_TRYV(CheckNothingBeside(path));
  // Those of the empty database that was there.
  for (const char* suffix : {"-wal", "-shm", "-journal"}) {
    const std::string beside = path + suffix;
    if (::unlink(beside.c_str()) != 0 && errno != ENOENT) return IoError(beside, errno);
  }
  if (::rename(made.c_str(), path.c_str()) != 0) return IoError(path, errno);
  return SyncToDisk(DirectoryOf(path));
}

Status RemoveDatabase(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    const std::string file = path + suffix;
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) return IoError(file, errno);
  }
  return Ok();
}

}  // namespace skms::keystore
