// skmsctl backup restore: a backup is decrypted by the token, looked at, and becomes the database; the daemon
// is stopped.
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "keystore/key_store.h"
#include "keystore/restore_authorisation.h"
#include "keystore/restore_target.h"
#include "provisioning/backup_aside.h"
#include "provisioning/backup_json.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/token_opening.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using keystore::DatabaseCheck;
using keystore::KeyStore;
using keystore::RestoreTarget;
using nlohmann::json;

constexpr std::size_t kMostAuthorisation = 8192;

/// What the chain says of it. Every row and the chain must be as the token knows them, or it is said.
Status Settle(const BackupAside& aside, const DatabaseCheck& found, bool with_damage,
              const std::string& approval) {
  const std::string before = "the database was damaged before the backup was made: ";
  if (!found.readable) return IntegrityError(before + DamageText(found) + "; take an earlier backup");
  if (!found.sound() && !with_damage) {
    return IntegrityError(before + DamageText(found) +
                          "; take an earlier backup, or restore this one as it is: --with-damage");
  }
  const SystemClock clock;
  auto store = KeyStore::Open({aside.scratch.database()}, *aside.module, clock);
  if (store.has_error() && store.error().code == ErrorCode::kIntegrity)
    return IntegrityError(before + store.error().detail +
                          "; no daemon would start with it, so take an earlier backup");
  if (store.has_error()) return std::move(store).error();
  const keystore::Requester by{keystore::PrincipalId("admin:" + std::to_string(::getuid())), {}, "", true};
  return store.value()->RecordRestore(by, aside.contents, found, approval);
}

/// Words for the audit chain: who approved it. Errors: kApprovalNeeded (the configuration wants one, and
/// there is none), kInvalidArgument (it is not for this).
Result<std::string> CheckAuthorised(const appliance::Configuration& configuration, const Options& options,
                                    const BackupAside& aside) {
  if (options.count("authorisation") == 0) {
    const std::vector<std::string>& required = configuration.approvals.required;
    if (std::find(required.begin(), required.end(), "restore") == required.end())
      return std::string("approval=none");
    return Error{
        ErrorCode::kApprovalNeeded,
        "a restore needs approval (approvals.required of " + configuration.path +
            "): give --authorisation FILE, which skmsctl backup authorise makes while the daemon runs; where "
            "none runs any more, take 'restore' out of approvals.required: the audit chain then says that "
            "nobody approved"};
  }
  const auto path = options["authorisation"].as<std::string>();
  SKMS_TRY(std::string text, ReadFile(path, kMostAuthorisation));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto verified = keystore::VerifyRestoreAuthorisation(
      *aside.module, text, aside.contents.statement.hash, SystemClock().NowSeconds());
  if (verified.has_error()) {
    Error error = verified.error();
    error.detail = path + ": " + error.detail;
    return error;
  }
  return "approval=" + verified.value().approval + " requested-by=" + verified.value().requested_by +
         " approved-by=" + verified.value().approved_by;
}

void PrintRestored(const Session& session, const std::string& file, const std::string& path,
                   const BackupAside& aside, const DatabaseCheck& found) {
  const std::string strict = StrictWarning(keystore::MissingStrictKek(*aside.module, aside.contents.header));
  if (session.json) {
    json out = BackupJson(file, aside.contents);
    out["database"] = path;
    out["rows"] = found.rows.rows;
    out["damaged"] = found.rows.damaged;
    out["chain"] = found.chain.empty() ? "whole" : found.chain;
    out["trouble"] = found.rows.trouble;
    if (!strict.empty()) out["warning"] = strict;
    PrintJson(out);
    return;
  }
  std::cout << "database " << Printable(path) << " is restored; " << found.rows.rows << " rows were checked\n"
            << BackupPairs(aside.contents);
  if (!found.sound()) std::cout << "warning: " << Printable(DamageText(found)) << '\n';
  if (!strict.empty()) std::cout << "warning: " << strict << '\n';
  std::cout << "next: start skmsd; what was made or changed after the backup is gone\n";
}

}  // namespace

void DescribeBackupRestore(OptionsDescription& options) {
  options.add_options()("file", po::value<std::string>()->value_name("FILE")->required(), "the backup")(
      "with-damage",
      "also where rows or the audit chain in it were changed: they are named, recorded, and refused in use")(
      "authorisation", po::value<std::string>()->value_name("FILE"),
      "that others approved it, as skmsctl backup authorise made it; needed where approvals.required names "
      "restore");
}

Status RunBackupRestore(const Session& session, const Options& options) {
  const auto file = options["file"].as<std::string>();
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  const std::string& path = configuration.store.path;
  SKMS_TRYV(CheckUser(path, "backup restore"));
  SKMS_TRY(RestoreTarget target, RestoreTarget::Take({path, configuration.store.url}));
  SKMS_TRY(const bool content, target.HasContent());
  if (content)
    return Conflict("there is a database with content, " + target.Name() +
                    ", and a restore overwrites none; " + target.HowToEmpty());
  SKMS_TRY(const BackupAside aside, DecryptAside(configuration, keystore::kRestoreScratch, file));
  SKMS_TRY(const std::string approval, CheckAuthorised(configuration, options, aside));
  SKMS_TRY(const DatabaseCheck found, keystore::CheckDatabase(aside.scratch.database(), *aside.module, 0));
  SKMS_TRYV(Settle(aside, found, options.count("with-damage") > 0, approval));
  SKMS_TRYV(target.Replace(aside.scratch.database()));
  PrintRestored(session, file, target.Name(), aside, found);
  return Ok();
}

}  // namespace skms::provisioning
