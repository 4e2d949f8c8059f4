// The daemon, its tokens and its database.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/clock.h"
#include "hsm/token_presence.h"
#include "keystore/database_inspection.h"
#include "provisioning/admin_client.h"
#include "provisioning/doctor.h"
#include "provisioning/failure.h"
#include "provisioning/output.h"
#include "provisioning/program.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

constexpr std::int64_t kClockSlackMs = 5000;
constexpr std::chrono::seconds kModuleTime{20};
constexpr std::uintmax_t kQuicklyRead = 512ULL << 20U;

/// Of a token whose module was asked without the daemon.
std::string TokenCure(const Error& error, const appliance::TokenSection& token) {
  switch (error.code) {
    case ErrorCode::kConfiguration:
      return "ls -l " + ShellWord(token.module) +
             "  # token.module; install its package, or correct the path";
    case ErrorCode::kTokenBlank:
      return "softhsm2-util --init-token --free --label " + ShellWord(token.label) +
             "  # or its maker's tool; then: skmsctl init";
    case ErrorCode::kPinIncorrect:
      return "unlock the PIN with the token's own tool, as its security officer; then: systemctl restart "
             "skmsd";
    default:
      return "pkcs11-tool --module " + ShellWord(token.module) +
             " --list-slots  # plug it in, start its server, or correct token.label and token.serial";
  }
}

Finding LookAt(const appliance::TokenSection& token) {
  hsm::TokenOptions options;
  options.module_path = token.module;
  options.init_args = token.init_args;
  options.label = token.label;
  options.serial = token.serial;
  const std::string check = "token " + token.label;
  const auto there = hsm::FindUsableToken(options);
  if (there.has_error())
    return {check, Verdict::kFail, there.error().Describe(), TokenCure(there.error(), token),
            ErrorCode::kToken};
  return {check, Verdict::kOk,
          "serial " + there.value().serial + ", " + there.value().manufacturer + " " + there.value().model +
              "; not logged in to",
          ""};
}

json ToJson(const Finding& one) {
  return {{"verdict", static_cast<int>(one.verdict)}, {"seen", one.seen}, {"cure", one.cure}};
}

/// In a process of its own: a call that hangs in a module cannot be ended, only left, and one that crashes
/// takes nobody along.
Finding LookAside(const appliance::TokenSection& token) {
  const std::string check = "token " + token.label;
  const auto said = RunAside(
      [&token] { return ToJson(LookAt(token)).dump(-1, ' ', false, json::error_handler_t::replace); },
      kModuleTime);
  const std::string cure =
      "systemctl status pcscd; ls -l " + ShellWord(token.module) +
      "  # restart the token's own server or service, look at its cable; then look again";
  if (said.has_error()) return {check, Verdict::kFail, said.error().detail, cure, ErrorCode::kToken};
  const json finding = json::parse(said.value(), nullptr, false);
  if (!finding.is_object())
    return {check, Verdict::kFail, token.module + " ended the process that asked it", cure,
            ErrorCode::kToken};
  return {check, static_cast<Verdict>(finding.value("verdict", 2)), Cell(finding, "seen"),
          finding.value("cure", ""), ErrorCode::kToken};
}

void ExamineWithoutDaemon(const appliance::Configuration& configuration, Findings& found) {
  for (const appliance::TokenSection& token : configuration.tokens) {
    struct stat module {};
    if (::stat(token.module.c_str(), &module) == 0 && (module.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
      found.Fail("token " + token.label, token.module + " can be written by others, and is not loaded",
                 "chmod go-w " + ShellWord(token.module));
      continue;
    }
    found.Add(LookAside(token));
  }
}

/// GET /admin/v1/tokens, and the probe's verdict of the first one.
void ExamineByDaemon(const Session& session, const appliance::Configuration& configuration, Findings& found) {
  const auto listed = AdminGet(session, "/admin/v1/tokens");
  if (listed.has_error())
    return found.Fail("tokens", listed.error().Describe(), "journalctl -u skmsd -n 50", listed.error().code);
  for (const json& token : listed.value().at("tokens")) {
    const std::string check = "token " + Cell(token, "label");
    const json& health = token.at("health");
    if (!health.value("available", false)) {
      found.Fail(check, "lost: " + Cell(health, "trouble"),
                 "skmsctl token list  # plug it in or start its server: skmsd opens it by itself",
                 ErrorCode::kToken);
    } else {
      found.Ok(check, "open, serial " + Cell(token, "serial"));
    }
  }
  const auto probed = AdminGet(session, "/admin/v1/token");
  if (probed.has_error())
    return found.Warn("token profile", probed.error().Describe(), "skmsctl token probe");
  for (const json& profile : probed.value().at("profiles")) {
    if (Cell(profile, "profile") != configuration.token.profile) continue;
    if (profile.value("passes", false)) {
      found.Ok("token profile", configuration.token.profile);
    } else {
      found.Fail("token profile", "the token is below token.profile " + configuration.token.profile,
                 "skmsctl token probe", ErrorCode::kToken);
    }
  }
}

/// What is lost can be restored; what is only out of reach must not be.
std::string DatabaseCure(ErrorCode code, const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  switch (code) {
    case ErrorCode::kNotFound:
      return "ls -la " + ShellWord(directory) +
             "  # on a new server: skmsctl init; else: skmsctl backup restore --file FILE";
    case ErrorCode::kPermissionDenied:
      return kAsRoot;
    case ErrorCode::kResourceExhausted:
      return "fuser -v " + ShellWord(path) + "  # who holds it; then look again";
    case ErrorCode::kIntegrity:
      return "systemctl stop skmsd 'skmsd-*.socket'; cp -a " + ShellWord(directory) +
             " /root/  # a copy first; then restore the last backup: docs/backup.md";
    default:
      return "df -h " + ShellWord(directory) +
             "; dmesg | tail  # make room, or look at the disk: the database itself may be well";
  }
}

void ExamineSpace(const appliance::Configuration& configuration, Findings& found) {
  struct statvfs disk {};
  const std::string& path = configuration.store.path;
  const std::string directory = std::filesystem::path(path).parent_path().string();
  if (::statvfs(directory.c_str(), &disk) != 0) return;  // the directory itself was looked at
  const std::uint64_t free = disk.f_bavail * disk.f_frsize / 1048576;
  const std::string seen = std::to_string(free) + " MiB free for " + path;
  if (free < configuration.audit.warn_free_mib) {
    found.Fail(
        "disk", seen + "; when it is full every request is refused",
        "du -xh --max-depth=2 " + ShellWord(directory) + "  # make room, or: skmsctl audit archive --help");
  } else {
    found.Ok("disk", seen);
  }
}

void ExamineSchema(const keystore::DatabaseFacts& facts, Findings& found) {
  const std::string seen = "version " + std::to_string(facts.schema_version) + ", this program's " +
                           std::to_string(facts.known_schema_version);
  if (facts.schema_version == 0) {
    found.Fail("schema", "the database has no tables", "skmsctl init");
  } else if (facts.schema_version > facts.known_schema_version) {
    found.Fail("schema", seen, "apt-get install --only-upgrade skms-server", ErrorCode::kNewerSchema);
  } else if (facts.schema_version < facts.known_schema_version) {
    found.Warn("schema", seen + "; the daemon brings it forward when it starts", "systemctl restart skmsd");
  } else {
    found.Ok("schema", seen);
  }
}

void ExamineChain(const keystore::DatabaseFacts& facts, const DaemonSeen& daemon, std::int64_t now,
                  Findings& found) {
  if (facts.newest_entry_ms > now * 1000 + kClockSlackMs) {
    found.Fail("clock and database",
               "the newest audit entry is of " + FormatUtc(facts.newest_entry_ms / 1000) +
                   ", which is in the future: the clock was ahead, or is behind now",
               "timedatectl status");
  } else {
    found.Ok("clock and database", "no audit entry is of the future");
  }
  const std::int64_t open = facts.newest_entry - facts.signed_up_to;
  const std::string seen = "signed up to entry " + std::to_string(facts.signed_up_to) + " of " +
                           std::to_string(facts.newest_entry);
  if (open < 0) {
    found.Fail("audit chain", seen + ": entries that the token has signed are gone",
               "keep a copy of the database; skmsctl audit verify; docs/audit.md", ErrorCode::kIntegrity);
  } else if (open > 0 && !daemon.answers) {
    found.Warn("audit chain", seen + "; the daemon did not end by itself, and signs the rest when it starts",
               "systemctl start skmsd && skmsctl audit verify");
  } else {
    found.Ok("audit chain", seen + " (verdict: skmsctl audit verify)");
  }
}

void ExamineServer(const appliance::StoreSection& store, const DaemonSeen& daemon, std::int64_t now,
                   Findings& found) {
  const auto facts = keystore::InspectDatabase({store.path, store.url}, false);
  if (facts.has_error()) {
    return found.Fail(
        "database", facts.error().detail,
        "psql " + ShellWord(store.url) + " -c 'SELECT pg_is_in_recovery()'  # docs/postgresql.md",
        facts.error().code);
  }
  found.Ok("database", "its server answers, and can be written to");
  ExamineSchema(facts.value(), found);
  ExamineChain(facts.value(), daemon, now, found);
}

}  // namespace

DaemonSeen ExamineDaemon(const Session& session, Findings& found) {
  const auto status = AdminGet(session, "/admin/v1/status");
  if (status.has_error()) {
    const ErrorCode code = status.error().code;
    const bool absent = code == ErrorCode::kResourceExhausted;
    std::string cure = "journalctl -u skmsd -n 50";
    if (absent) cure = "systemctl start skmsd; journalctl -u skmsd -n 50";
    if (code == ErrorCode::kUnauthenticated) cure = kAsRoot;
    found.Fail("daemon", status.error().Describe(), cure, code);
    return {.there = !absent, .answers = false, .locked = false};
  }
  const json& body = status.value();
  const std::string state = Cell(body, "state");
  if (state == "locked") {
    found.Fail("daemon", "locked: it waits for a PIN", "skmsctl unlock", ErrorCode::kLocked);
    return {.there = true, .answers = true, .locked = true};
  }
  for (const json& reason : body.at("reasons"))
    found.Warn("daemon", state + ": " + reason.get<std::string>(), "skmsctl status");
  if (body.at("reasons").empty()) found.Ok("daemon", state + ", version " + Cell(body, "version"));
  return {.there = true, .answers = true, .locked = false};
}

void ExamineTokens(const Session& session, const appliance::Configuration& configuration,
                   const DaemonSeen& daemon, Findings& found) {
  // Two processes with a module may disturb each other: the daemon is asked where there is one.
  if (daemon.answers && !daemon.locked) return ExamineByDaemon(session, configuration, found);
  if (daemon.there && !daemon.locked)
    return found.Warn("tokens", "the daemon has them, and does not tell of them", "skmsctl token list");
  ExamineWithoutDaemon(configuration, found);
}

void ExamineDatabase(const appliance::Configuration& configuration, const DaemonSeen& daemon, bool thorough,
                     std::int64_t now, Findings& found) {
  const std::string& path = configuration.store.path;
  ExamineSpace(configuration, found);
  if (!configuration.store.url.empty()) return ExamineServer(configuration.store, daemon, now, found);
  std::error_code failed;
  const std::uintmax_t size = std::filesystem::file_size(path, failed);
  const bool reads_all = thorough || (!failed && size <= kQuicklyRead);
  const auto facts = keystore::InspectDatabase({path, ""}, reads_all);
  if (facts.has_error()) {
    return found.Fail("database", facts.error().detail, DatabaseCure(facts.error().code, path),
                      facts.error().code);
  }
  if (!facts.value().damage.empty()) {
    found.Fail("database", path + ": " + facts.value().damage, DatabaseCure(ErrorCode::kIntegrity, path),
               ErrorCode::kIntegrity);
  } else {
    found.Ok("database", path + (reads_all ? ": its pages are whole"
                                           : ": large, its pages were not read (--thorough reads them)"));
  }
  ExamineSchema(facts.value(), found);
  ExamineChain(facts.value(), daemon, now, found);
}

}  // namespace skms::provisioning
