// A database that nobody uses yet, looked at for whatever somebody may have done to it.
#include <memory>
#include <optional>
#include <utility>

#include "keystore/audit_log.h"
#include "keystore/backup.h"
#include "keystore/database_snapshot.h"
#include "keystore/schema.h"
#include "keystore/token_key_use.h"

namespace skms::keystore {
namespace {

/// Opens it for the token keys that it names.
Result<std::unique_ptr<Database>> OpenFor(hsm::CryptoModule& module, const std::string& path) {
  SKMS_TRYV(CheckDatabaseFile(path));
  SKMS_TRY(std::unique_ptr<Database> database, Database::Open(path));
  SKMS_TRYV(MigrateWithCopy(*database, path));
  SKMS_TRY(const std::optional<TokenKeyUse> use, ReadTokenKeyUse(*database, module));
  SKMS_TRYV(module.UseGenerations(use ? use->generations : hsm::TokenKeyGenerations{1, 1, 1, 1}));
  return database;
}

}  // namespace

Result<DatabaseCheck> CheckDatabase(const std::string& path, hsm::CryptoModule& module, std::size_t sample) {
  DatabaseCheck out;
  const auto opened = OpenFor(module, path);
  if (opened.has_error() && opened.error().code == ErrorCode::kIntegrity) {
    out.readable = false;
    out.rows.damaged = 1;
    out.rows.trouble.push_back(opened.error().detail);
    out.chain = "it was not looked at";
    return out;
  }
  if (opened.has_error()) return opened.error();
  return CheckOpened(*opened.value(), module, sample);
}

Result<DatabaseCheck> CheckOpened(Database& database, hsm::CryptoModule& module, std::size_t sample) {
  DatabaseCheck out;
  SKMS_TRY(out.rows, CheckRowsOf(database, module, sample));
  SKMS_TRY(const AuditSummary head, ReadAuditHead(database));
  out.entries = head.entries;
  out.head = head.head;
  const auto chain = VerifyChainOf(database, module);
  if (chain.has_error() && chain.error().code != ErrorCode::kIntegrity) return chain.error();
  if (chain.has_error()) out.chain = chain.error().detail;
  return out;
}

std::string MissingStrictKek(hsm::CryptoModule& module, const BackupHeader& header) {
  if (header.strict_kek.empty()) return "";
  const std::uint32_t newest = *header.strict_kek.rbegin();
  const auto view = module.ViewStrict();
  return view.has_value() && view.value().kek >= newest ? "" : "skms-strict-kek-" + std::to_string(newest);
}

}  // namespace skms::keystore
