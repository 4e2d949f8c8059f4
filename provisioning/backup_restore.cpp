// skmsctl backup restore and drill: a backup is decrypted by the token beside the daemon, which must be
// stopped for the one and may serve during the other.
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/new_file.h"
#include "keystore/backup.h"
#include "keystore/database_snapshot.h"
#include "keystore/key_store.h"
#include "keystore/scratch_directory.h"
#include "keystore/token_signature.h"
#include "provisioning/admin_client.h"
#include "provisioning/backup_json.h"
#include "provisioning/commands.h"
#include "provisioning/duration.h"
#include "provisioning/output.h"
#include "provisioning/token_opening.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using keystore::BackupContents;
using keystore::DatabaseLock;
using keystore::DrillReport;
using keystore::KeyStore;
using keystore::RowCheck;
using keystore::ScratchDirectory;
using nlohmann::json;

constexpr std::int64_t kSample = 100;
constexpr std::int64_t kMostSampled = 100000;

Result<std::unique_ptr<hsm::CryptoModule>> OpenTokens(const appliance::Configuration& configuration) {
  SKMS_TRY(std::vector<hsm::TokenMember> members, TokenMembers(configuration));
  auto module = hsm::CryptoModule::Open(std::move(members));
  if (module.has_value() || module.error().code != ErrorCode::kTokenBlank) return module;
  Error error = std::move(module).error();
  error.detail = "no token of the configuration holds the keys that a backup is opened with: " + error.detail;
  return error;
}

std::string Damage(const RowCheck& check) {
  std::string text;
  for (const std::string& one : check.trouble) text += "\n  " + Printable(one);
  return text;
}

/// Into `database`, which nobody has yet. Every row and the chain must be as the token knows them.
Status RestoreInto(const std::string& database, const BackupContents& contents, hsm::CryptoModule& module,
                   RowCheck& check) {
  const SystemClock clock;
  SKMS_TRY(const std::unique_ptr<KeyStore> store, KeyStore::Open({database}, module, clock));
  SKMS_TRY(check, store->CheckRows(0));
  if (check.damaged > 0)
    return IntegrityError(
        std::to_string(check.damaged) + " of " + std::to_string(check.rows) +
        " rows of the backup were changed outside skms before it was made:" + Damage(check));
  SKMS_TRYV(store->VerifyAudit());
  const keystore::Requester by{keystore::PrincipalId("admin:" + std::to_string(::getuid())), {}, "", true};
  return store->RecordRestore(by, contents);
}

/// Whole and on the disk under its name, or not there.
Status MoveInto(const std::string& made, const std::string& path) {
  std::error_code error;
  const std::string log = made + "-wal";
  if (std::filesystem::exists(log, error) && std::filesystem::file_size(log, error) > 0)
    return InternalError("the restored database is not whole without its log");
  SKMS_TRYV(SyncToDisk(made));
  // Those of the empty database that was there.
  for (const char* suffix : {"-wal", "-shm"}) {
    const std::string beside = path + suffix;
    if (::unlink(beside.c_str()) != 0 && errno != ENOENT) return IoError(beside, errno);
  }
  if (::rename(made.c_str(), path.c_str()) != 0) return IoError(path, errno);
  return SyncToDisk(DirectoryOf(path));
}

/// Strict KEKs are a token's own: what is under them is lost with it.
std::string StrictWarning(const BackupContents& contents, hsm::CryptoModule& module) {
  if (contents.header.strict_kek.empty()) return "";
  const std::uint32_t newest = *contents.header.strict_kek.rbegin();
  const auto view = module.ViewStrict();
  if (view.has_value() && view.value().kek >= newest) return "";
  return "no token of the configuration has skms-strict-kek-" + std::to_string(newest) +
         ": keys of services with strict recipients cannot be used";
}

DrillReport ReportOf(const BackupContents& contents, const RowCheck& check,
                     const keystore::AuditVerdict& chain) {
  DrillReport report;
  report.hash = contents.statement.hash;
  report.backup_ms = contents.header.time_ms;
  report.time_ms = SystemClock().NowMilliseconds();
  report.rows = check.rows;
  report.damaged = check.damaged;
  report.could_open = check.could_open;
  report.sampled = check.sampled;
  report.failed = check.failed;
  report.strict = check.strict;
  report.entries = chain.last;
  report.head = chain.head;
  return report;
}

/// False: no daemon runs here. On a host that is to take over there is none yet.
Result<bool> RecordDrill(const Session& session, const std::string& report) {
  const auto recorded = AdminSend(session, "POST", "/admin/v1/backups/checks", {{"statement", report}});
  if (recorded.has_value()) return true;
  if (recorded.error().code == ErrorCode::kResourceExhausted) return false;
  return recorded.error();
}

void PrintReport(const Session& session, const DrillReport& report, const RowCheck& check,
                 const std::string& jws, bool recorded) {
  const std::int64_t opened = report.sampled - report.failed - report.strict;
  if (session.json) {
    PrintJson({{"result", report.passed() ? "passed" : "failed"},
               {"backupTime", FormatUtc(report.backup_ms / 1000)},
               {"time", FormatUtc(report.time_ms / 1000)},
               {"sha256", report.hash},
               {"rows", report.rows},
               {"damaged", report.damaged},
               {"couldOpen", report.could_open},
               {"opened", opened},
               {"failed", report.failed},
               {"strictNotOpened", report.strict},
               {"entries", report.entries},
               {"head", report.head},
               {"trouble", check.trouble},
               {"audited", recorded},
               {"report", jws}});
    return;
  }
  std::cout << "the drill " << (report.passed() ? "passed" : "failed") << '\n'
            << RenderPairs(
                   {{"backup of", FormatUtc(report.backup_ms / 1000)},
                    {"rows", std::to_string(report.rows) + ", damaged: " + std::to_string(report.damaged)},
                    {"keys", std::to_string(opened) + " opened of " + std::to_string(report.could_open) +
                                 ", failed: " + std::to_string(report.failed) +
                                 ", strict, not opened: " + std::to_string(report.strict)},
                    {"audit chain", "whole to entry " + std::to_string(report.entries)},
                    {"audited", recorded ? "yes" : "no: no daemon runs here"},
                    {"report", jws}});
}

}  // namespace

void DescribeBackupRestore(OptionsDescription& options) {
  options.add_options()("file", po::value<std::string>()->value_name("FILE")->required(), "the backup");
}

Status RunBackupRestore(const Session& session, const Options& options) {
  const auto file = options["file"].as<std::string>();
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  const std::string& path = configuration.store.path;
  SKMS_TRYV(CheckUser(path, "backup restore"));
  SKMS_TRY(const DatabaseLock lock, DatabaseLock::Take(path));
  SKMS_TRY(const bool content, keystore::HasContent(path));
  if (content)
    return Conflict("there is a database with content, " + path +
                    ", and a restore overwrites none; move it away with " + path + "-wal and " + path +
                    "-shm, where they are");
  SKMS_TRY(const ScratchDirectory scratch, ScratchDirectory::Make(path + keystore::kRestoreScratch));
  SKMS_TRY(const std::unique_ptr<hsm::CryptoModule> module, OpenTokens(configuration));
  SKMS_TRY(const BackupContents contents, keystore::OpenBackup(file, scratch.database(), *module));
  RowCheck check;
  SKMS_TRYV(RestoreInto(scratch.database(), contents, *module, check));
  SKMS_TRYV(MoveInto(scratch.database(), path));
  const std::string warning = StrictWarning(contents, *module);
  if (session.json) {
    json out = BackupJson(file, contents);
    out["database"] = path;
    out["rows"] = check.rows;
    if (!warning.empty()) out["warning"] = warning;
    PrintJson(out);
    return Ok();
  }
  std::cout << "database " << Printable(path) << " is restored; " << check.rows << " rows were checked\n"
            << BackupPairs(contents);
  if (!warning.empty()) std::cout << "warning: " << warning << '\n';
  std::cout << "next: start skmsd; what was made or changed after the backup is gone\n";
  return Ok();
}

void DescribeBackupDrill(OptionsDescription& options) {
  options.add_options()("file", po::value<std::string>()->value_name("FILE")->required(), "the backup")(
      "sample", po::value<std::string>()->value_name("N")->default_value(std::to_string(kSample)),
      "so many keys of each state are opened in the token, at most 100000");
}

Status RunBackupDrill(const Session& session, const Options& options) {
  const auto file = options["file"].as<std::string>();
  const std::int64_t sample = ParseCount("sample", options["sample"].as<std::string>());
  if (sample < 1 || sample > kMostSampled) return InvalidArgument("--sample is 1 to 100000");
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  const std::string& path = configuration.store.path;
  SKMS_TRYV(CheckUser(path, "backup drill"));
  SKMS_TRY(const ScratchDirectory scratch, ScratchDirectory::Make(path + keystore::kDrillScratch));
  SKMS_TRY(const std::unique_ptr<hsm::CryptoModule> module, OpenTokens(configuration));
  SKMS_TRY(const BackupContents contents, keystore::OpenBackup(file, scratch.database(), *module));
  const SystemClock clock;
  SKMS_TRY(const std::unique_ptr<KeyStore> store, KeyStore::Open({scratch.database()}, *module, clock));
  SKMS_TRY(const RowCheck check, store->CheckRows(static_cast<std::size_t>(sample)));
  SKMS_TRY(const keystore::AuditVerdict chain, store->VerifyAudit());
  if (chain.last != contents.header.entries)
    return IntegrityError("the audit chain in the backup is another than its header says");
  const DrillReport report = ReportOf(contents, check, chain);
  SKMS_TRY(const std::string jws, keystore::SignJws(*module, module->generations().sign, keystore::kDrillType,
                                                    keystore::DrillReportText(report)));
  SKMS_TRY(const bool recorded, RecordDrill(session, jws));
  PrintReport(session, report, check, jws, recorded);
  if (report.passed()) return Ok();
  return IntegrityError("the drill failed: this backup cannot be relied on:" + Damage(check));
}

}  // namespace skms::provisioning
