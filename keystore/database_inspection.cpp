#include "keystore/database_inspection.h"

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <exception>
#include <memory>
#include <system_error>

#include "keystore/connection_deadlines.h"
#include "keystore/database_engine.h"
#include "keystore/database_url.h"
#include "keystore/schema.h"

namespace skms::keystore {
namespace {

long long Number(soci::session& session, const char* query) {
  long long number = 0;
  soci::indicator none = soci::i_null;
  session << query, soci::into(number, none);
  return none == soci::i_ok ? number : 0;
}

ErrorCode CodeOf(int result) {
  constexpr int kPrimary = 0xFF;
  switch (result & kPrimary) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::kIntegrity;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::kResourceExhausted;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
      return ErrorCode::kPermissionDenied;
    default:
      return ErrorCode::kStorage;
  }
}

DatabaseFacts Facts(const DatabaseEngine& engine, soci::session& session, bool look_at_pages) {
  DatabaseFacts facts;
  facts.known_schema_version = kSchemaVersion;
  if (engine.HasTable(session, "meta")) {
    std::string text;
    session << "SELECT value FROM meta WHERE name = 'schema_version'", soci::into(text);
    const char* end = text.data() + text.size();
    const auto [last, wrong] = std::from_chars(text.data(), end, facts.schema_version);
    if (wrong != std::errc{} || last != end || facts.schema_version < 1)
      facts.damage = "its schema version is no number";
  }
  if (engine.HasTable(session, "audit")) {
    facts.newest_entry = Number(session, "SELECT max(seq) FROM audit");
    facts.newest_entry_ms = Number(session, "SELECT time_ms FROM audit ORDER BY seq DESC LIMIT 1");
  }
  if (engine.HasTable(session, "audit_checkpoints"))
    facts.signed_up_to = Number(session, "SELECT max(seq) FROM audit_checkpoints");
  if (look_at_pages) {
    std::string said;
    session << "PRAGMA quick_check(1)", soci::into(said);
    if (said != "ok") facts.damage = said;
  }
  return facts;
}

Result<DatabaseFacts> InspectServer(const std::string& url) {
  SKMS_TRY(const std::unique_ptr<DatabaseEngine> engine, MakePostgresqlEngine(url));
  try {
    const std::unique_ptr<soci::session> session = engine->Connect();
    ConnectionDeadlines deadlines;
    const ConnectionDeadlines::Watch watch(deadlines, engine->SocketOf(*session), std::chrono::seconds(20));
    engine->Prepare(*session);
    return Facts(*engine, *session, false);
  } catch (const std::exception& exception) {
    Error error = engine->Describe(exception);
    error.detail = engine->Name() + ": " + error.detail;
    return error;
  }
}

}  // namespace

Result<DatabaseFacts> InspectDatabase(const StoreLocation& location, bool look_at_pages) {
  if (!location.url.empty()) return InspectServer(location.url);
  const std::string& path = location.path;
  if (::access(path.c_str(), R_OK) != 0) {
    const bool forbidden = errno == EACCES || errno == EPERM;
    return Error{forbidden ? ErrorCode::kPermissionDenied : ErrorCode::kNotFound,
                 path + ": " + std::generic_category().message(errno)};
  }
  try {
    soci::session session(soci::sqlite3, "db=\"" + path + "\" readonly=true timeout=5");
    return Facts(*MakeSqliteEngine(path), session, look_at_pages);
  } catch (const soci::sqlite3_soci_error& error) {
    // SOCI's text may quote values.
    return Error{CodeOf(error.result()), path + ": " + sqlite_api::sqlite3_errstr(error.result())};
  } catch (const std::exception&) {
    return StorageError(path + ": the database cannot be read");
  }
}

Result<bool> IsThere(const StoreLocation& location) {
  if (location.url.empty()) return ::access(location.path.c_str(), F_OK) == 0;
  SKMS_TRY(const DatabaseFacts facts, InspectServer(location.url));
  return facts.schema_version > 0;
}

std::string NameOf(const StoreLocation& location) {
  return location.url.empty() ? location.path : PostgresqlName(location.url);
}

}  // namespace skms::keystore
