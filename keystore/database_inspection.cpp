#include "keystore/database_inspection.h"

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <exception>
#include <system_error>

#include "keystore/schema.h"

namespace skms::keystore {
namespace {

bool HasTable(soci::session& session, const std::string& name) {
  int tables = 0;
  session << "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name", soci::into(tables),
      soci::use(name);
  return tables > 0;
}

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

DatabaseFacts Facts(soci::session& session, bool look_at_pages) {
  DatabaseFacts facts;
  facts.known_schema_version = kSchemaVersion;
  if (HasTable(session, "meta")) {
    std::string text;
    session << "SELECT value FROM meta WHERE name = 'schema_version'", soci::into(text);
    const char* end = text.data() + text.size();
    const auto [last, wrong] = std::from_chars(text.data(), end, facts.schema_version);
    if (wrong != std::errc{} || last != end || facts.schema_version < 1)
      facts.damage = "its schema version is no number";
  }
  if (HasTable(session, "audit")) {
    facts.newest_entry = Number(session, "SELECT max(seq) FROM audit");
    facts.newest_entry_ms = Number(session, "SELECT time_ms FROM audit ORDER BY seq DESC LIMIT 1");
  }
  if (HasTable(session, "audit_checkpoints"))
    facts.signed_up_to = Number(session, "SELECT max(seq) FROM audit_checkpoints");
  if (look_at_pages) {
    std::string said;
    session << "PRAGMA quick_check(1)", soci::into(said);
    if (said != "ok") facts.damage = said;
  }
  return facts;
}

}  // namespace

Result<DatabaseFacts> InspectDatabase(const std::string& path, bool look_at_pages) {
  if (::access(path.c_str(), R_OK) != 0) {
    const bool forbidden = errno == EACCES || errno == EPERM;
    return Error{forbidden ? ErrorCode::kPermissionDenied : ErrorCode::kNotFound,
                 path + ": " + std::generic_category().message(errno)};
  }
  try {
    soci::session session(soci::sqlite3, "db=\"" + path + "\" readonly=true timeout=5");
    return Facts(session, look_at_pages);
  } catch (const soci::sqlite3_soci_error& error) {
    // SOCI's text may quote values.
    return Error{CodeOf(error.result()), path + ": " + sqlite_api::sqlite3_errstr(error.result())};
  } catch (const std::exception&) {
    return StorageError(path + ": the database cannot be read");
  }
}

}  // namespace skms::keystore
