// skmsctl backup drill: a backup is tried beside the daemon, and whatever is found is signed, printed and
// recorded, in this order.
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "keystore/token_signature.h"
#include "provisioning/admin_client.h"
#include "provisioning/backup_aside.h"
#include "provisioning/commands.h"
#include "provisioning/duration.h"
#include "provisioning/output.h"
#include "provisioning/token_opening.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using keystore::DatabaseCheck;
using keystore::DrillReport;

constexpr std::int64_t kSample = 100;
constexpr std::int64_t kMostSampled = 100000;

DrillReport ReportOf(const BackupAside& aside, const DatabaseCheck& found) {
  const keystore::BackupHeader& header = aside.contents.header;
  DrillReport report;
  report.hash = aside.contents.statement.hash;
  report.backup_ms = header.time_ms;
  report.time_ms = SystemClock().NowMilliseconds();
  report.rows = found.rows.rows;
  report.damaged = found.rows.damaged;
  report.could_open = found.rows.could_open;
  report.sampled = found.rows.sampled;
  report.failed = found.rows.failed;
  report.strict = found.rows.strict;
  report.entries = found.entries;
  report.head = found.head;
  report.chain = found.chain;
  if (report.chain.empty() && (found.entries != header.entries || found.head != header.head))
    report.chain = "it is another than the backup's header says";
  report.missing = keystore::MissingStrictKek(*aside.module, header);
  return report;
}

/// False: no daemon runs here. On a host that is to take over there is none yet.
Result<bool> RecordDrill(const Session& session, const std::string& report) {
  SKMS_TRY(const bool runs, IsDaemonThere(session));
  if (!runs) return false;
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/backups/checks", {{"statement", report}}));
  return true;
}

void PrintReport(const Session& session, const DrillReport& report, const DatabaseCheck& found,
                 const std::string& jws) {
  if (session.json) {
    PrintJson({{"result", report.result()},
               {"backupTime", FormatUtc(report.backup_ms / 1000)},
               {"time", FormatUtc(report.time_ms / 1000)},
               {"sha256", report.hash},
               {"rows", report.rows},
               {"damaged", report.damaged},
               {"couldOpen", report.could_open},
               {"opened", report.opened()},
               {"failed", report.failed},
               {"strictNotOpened", report.strict},
               {"missing", report.missing},
               {"chain", report.chain.empty() ? "whole" : report.chain},
               {"entries", report.entries},
               {"head", report.head},
               {"trouble", found.rows.trouble},
               {"report", jws}});
  } else {
    const std::string entries = "to entry " + std::to_string(report.entries);
    std::cout << "the drill " << report.result() << '\n'
              << RenderPairs(
                     {{"backup of", FormatUtc(report.backup_ms / 1000)},
                      {"rows", std::to_string(report.rows) + ", damaged: " + std::to_string(report.damaged)},
                      {"keys", std::to_string(report.opened()) + " opened of " +
                                   std::to_string(report.could_open) +
                                   ", failed: " + std::to_string(report.failed) +
                                   ", strict, not opened: " + std::to_string(report.strict)},
                      {"audit chain", report.chain.empty() ? "whole " + entries : report.chain},
                      {"report", jws}});
    const std::string warning = StrictWarning(report.missing);
    if (!warning.empty()) std::cout << "warning: " << warning << '\n';
  }
  std::cout << std::flush;
}

Status Outcome(const DrillReport& report, const DatabaseCheck& found) {
  if (report.passed()) return Ok();
  if (!report.whole()) {
    DatabaseCheck all = found;
    all.chain = report.chain;
    return IntegrityError("the drill failed, this backup cannot be relied on: " + DamageText(all));
  }
  return IntegrityError("the drill proves nothing of its keys: none of " + std::to_string(report.could_open) +
                        " was opened, for all that were tried are for strict recipients");
}

}  // namespace

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
  SKMS_TRYV(CheckUser(configuration.store.path, "backup drill"));
  SKMS_TRY(const BackupAside aside, DecryptAside(configuration, keystore::kDrillScratch, file));
  SKMS_TRY(const DatabaseCheck found, keystore::CheckDatabase(aside.scratch.database(), *aside.module,
                                                              static_cast<std::size_t>(sample)));
  const DrillReport report = ReportOf(aside, found);
  // By the key that the backup names: of a database that was changed nobody knows which is in use.
  SKMS_TRY(const std::string jws, keystore::SignJws(*aside.module, aside.contents.header.sign,
                                                    keystore::kDrillType, keystore::DrillReportText(report)));
  PrintReport(session, report, found, jws);
  const auto recorded = RecordDrill(session, jws);
  if (recorded.has_value() && !recorded.value())
    std::cerr << "skmsctl: the drill is in no audit chain: no daemon runs here\n";
  Status outcome = Outcome(report, found);
  if (recorded.has_value()) return outcome;
  Error error = recorded.error();
  error.detail = "the drill is not in the audit chain: " + error.detail;
  if (outcome.has_error()) {
    std::cerr << "skmsctl: " << Printable(error.detail) << '\n';
    return outcome;
  }
  return error;
}

}  // namespace skms::provisioning
