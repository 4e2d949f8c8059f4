#include "keystore/store_move.h"

#include <soci/soci.h>

#include <memory>
#include <optional>
#include <utility>

#include "keystore/audit_log.h"
#include "keystore/database_snapshot.h"
#include "keystore/schema.h"
#include "keystore/table_copy.h"
#include "keystore/token_key_use.h"

namespace skms::keystore {
namespace {

Status CheckSound(const DatabaseCheck& found, const std::string& name) {
  if (found.sound()) return Ok();
  std::string wrong = found.chain.empty() ? "" : "; the audit chain is not whole: " + found.chain;
  for (const std::string& one : found.rows.trouble) wrong += "; " + one;
  return IntegrityError(name + " was changed outside skms, and is not moved" + wrong);
}

constexpr const char* kMoved = "moved_to";
constexpr const char* kArriving = "arriving";

Result<std::string> ReadMark(Database& database, const std::string& name) {
  std::string value;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    session << "SELECT value FROM meta WHERE name = :name", soci::into(value), soci::use(name);
    if (!session.got_data()) value.clear();
    return Ok();
  }));
  return value;
}

void SetMark(soci::session& session, const std::string& name, const std::string& value) {
  session << "INSERT INTO meta (name, value) VALUES (:name, :value)", soci::use(name), soci::use(value);
}

/// A move that was cut off leaves its mark with what it brought. True: there was one, from this source.
Result<bool> IsArriving(Database& source, Database& target) {
  SKMS_TRY(const std::string from, ReadMark(target, kArriving));
  if (from.empty() || from == source.Name()) return !from.empty();
  return Conflict(target.Name() + " holds what a move from " + from +
                  " brought that was cut off: type that one again, or make another database with createdb");
}

Status CheckEmpty(Database& target) {
  SKMS_TRY(const bool content, HasContentIn(target));
  if (!content) return Ok();
  return Conflict("there is a database with content, " + target.Name() +
                  ", and a move overwrites none; make another one with createdb");
}

/// By the token keys that it names, which are in use from then on.
Result<DatabaseCheck> CheckSource(Database& source, hsm::CryptoModule& module) {
  SKMS_TRY(const std::optional<TokenKeyUse> use, ReadTokenKeyUse(source, module));
  SKMS_TRYV(module.UseGenerations(use ? use->generations : hsm::TokenKeyGenerations{1, 1, 1, 1}));
  SKMS_TRY(DatabaseCheck found, CheckOpened(source, module, 0));
  SKMS_TRYV(CheckSound(found, source.Name()));
  return found;
}

Status Record(Database& database, const Clock& clock, const Requester& by, const std::string& to) {
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = "store.move";
  entry.outcome = "granted";
  entry.reason = "to=" + to;
  return database.Write([&](soci::session& session) { return AppendAudit(session, clock, entry); });
}

/// Nobody starts with it before it is known to be whole.
Status CopyMarked(Database& source, Database& target) {
  SKMS_TRYV(CopyDatabase(
      source, target, [] { return false; },
      [&](soci::session& session) {
        session << "DELETE FROM meta WHERE name = 'moved_to'";
        SetMark(session, kArriving, source.Name());
      }));
  return Ok();
}

/// In this order: cut off anywhere, neither of them starts with what the other goes on from.
Status HandOver(Database& source, Database& target) {
  SKMS_TRYV(source.Write([&](soci::session& session) -> Status {
    session << "DELETE FROM meta WHERE name = 'moved_to'";
    SetMark(session, kMoved, target.Name());
    return Ok();
  }));
  return target.Write([](soci::session& session) -> Status {
    session << "DELETE FROM meta WHERE name = 'arriving'";
    return Ok();
  });
}

/// Nothing is taken away before it is known that this move may be made.
Status MakeReady(Database& source, Database& target) {
  SKMS_TRY(const bool again, IsArriving(source, target));
  SKMS_TRY(const std::string moved, ReadMark(source, kMoved));
  const bool to_here = again && moved == target.Name();
  if (!moved.empty() && !to_here) return CheckNotMoved(source);
  if (again) SKMS_TRYV(EmptyTables(target));
  return CheckEmpty(target);
}

}  // namespace

Status CheckNotMoved(Database& database) {
  SKMS_TRY(const std::string to, ReadMark(database, kMoved));
  if (!to.empty())
    return Conflict(database.Name() + " was moved to " + to +
                    " and is not used any more: name that in store.url");
  SKMS_TRY(const std::string from, ReadMark(database, kArriving));
  if (from.empty()) return Ok();
  return Conflict("the move from " + from + " to " + database.Name() +
                  " was cut off: type skmsctl store move again, with what is in " + from);
}

Result<StoreMoved> MoveStore(const StoreLocation& from, const StoreLocation& to, hsm::CryptoModule& module,
                             const Clock& clock, const Requester& by) {
  SKMS_TRY(const std::unique_ptr<Database> source, Database::Open(from));
  SKMS_TRY(const std::unique_ptr<Database> target, Database::Open(to));
  SKMS_TRYV(Migrate(*target));
  SKMS_TRYV(MigrateWithCopy(*source, from.path));
  SKMS_TRYV(MakeReady(*source, *target));
  SKMS_TRY(const DatabaseCheck before, CheckSource(*source, module));
  SKMS_TRYV(Record(*source, clock, by, target->Name()));
  SKMS_TRYV(CopyMarked(*source, *target));
  SKMS_TRY(DatabaseCheck found, CheckOpened(*target, module, 0));
  if (!found.sound() || found.rows.rows != before.rows.rows || found.entries != before.entries + 1) {
    SKMS_TRYV(EmptyTables(*target));
    return IntegrityError("what arrived in " + target->Name() + " is not what is in " + source->Name() +
                          "; it was removed there");
  }
  SKMS_TRYV(HandOver(*source, *target));
  return StoreMoved{std::move(found), source->Name(), target->Name()};
}

}  // namespace skms::keystore
