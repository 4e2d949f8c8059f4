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

/// So that no two servers go on from the same keys.
Status MarkMoved(Database& database, const std::string& to) {
  return database.Write([&to](soci::session& session) -> Status {
    session << "INSERT INTO meta (name, value) VALUES ('moved_to', :value)", soci::use(to);
    return Ok();
  });
}

}  // namespace

Status CheckNotMoved(Database& database) {
  std::string to;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    session << "SELECT value FROM meta WHERE name = 'moved_to'", soci::into(to);
    if (!session.got_data()) to.clear();
    return Ok();
  }));
  if (to.empty()) return Ok();
  return Conflict(database.Name() + " was moved to " + to +
                  " and is not used any more: name that in store.url");
}

Result<StoreMoved> MoveStore(const StoreLocation& from, const StoreLocation& to, hsm::CryptoModule& module,
                             const Clock& clock, const Requester& by) {
  SKMS_TRY(const std::unique_ptr<Database> source, Database::Open(from));
  SKMS_TRY(const std::unique_ptr<Database> target, Database::Open(to));
  SKMS_TRYV(CheckEmpty(*target));
  SKMS_TRYV(MigrateWithCopy(*source, from.path));
  SKMS_TRYV(CheckNotMoved(*source));
  SKMS_TRY(const DatabaseCheck before, CheckSource(*source, module));
  SKMS_TRYV(Record(*source, clock, by, target->Name()));
  SKMS_TRYV(CopyDatabase(*source, *target, [] { return false; }));
  SKMS_TRY(DatabaseCheck found, CheckOpened(*target, module, 0));
  if (!found.sound() || found.rows.rows != before.rows.rows || found.entries != before.entries + 1) {
    SKMS_TRYV(EmptyTables(*target));
    return IntegrityError("what arrived in " + target->Name() + " is not what is in " + source->Name() +
                          "; it was removed there");
  }
  SKMS_TRYV(MarkMoved(*source, target->Name()));
  return StoreMoved{std::move(found), source->Name(), target->Name()};
}

}  // namespace skms::keystore
