// skmsctl audit archive: moves the older part of the audit chain into a file of its own, and lets the daemon
// forget it once the file is on the disk and verified.
#include <fcntl.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/new_file.h"
#include "keystore/audit_verifier.h"
#include "provisioning/admin_client.h"
#include "provisioning/audit_file.h"
#include "provisioning/commands.h"
#include "provisioning/duration.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

struct Archived {
  std::int64_t first = 0;
  std::int64_t last = 0;  ///< 0: nothing is old enough
  std::string hash;
};

struct Keys {
  std::set<std::string> kids;
  std::vector<Bytes> spkis;
};

Result<Keys> DaemonsKeys(const Session& session) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/audit/keys"));
  Keys keys;
  for (const json& key : answer.at("keys")) {
    auto spki = FromBase64Url(key.at("spki").get<std::string>());
    if (!spki) return InternalError("the daemon's answer holds no key");
    keys.spkis.push_back(std::move(*spki));
    keys.kids.insert(key.at("kid").get<std::string>());
  }
  return keys;
}

/// Entries up to the last checkpoint that is no younger than `before_ms`, by a key that the token still
/// holds.
Result<Archived> WriteOldPart(const Session& session, std::int64_t before_ms, const Keys& keys,
                              AuditFileWriter& writer) {
  Archived done;
  std::int64_t after = 0;
  for (bool more = true; more;) {
    const std::int64_t from = after;
    SKMS_TRY(const json page,
             AdminGet(session, "/admin/v1/audit/chain?limit=1000&after=" + std::to_string(after)));
    more = page.at("more").get<bool>();
    for (const json& line : LinesOf(page)) {
      const auto seq = line.at("seq").get<std::int64_t>();
      const bool entry = !line.contains("checkpoint");
      if (!entry && from > 0 && seq <= from) continue;
      if (line.at("timeMs").get<std::int64_t>() >= before_ms && (entry || done.first > 0)) return done;
      SKMS_TRYV(writer.Write(line));
      if (entry) {
        after = seq;
        if (done.first == 0) done.first = seq;
        continue;
      }
      // What stands before the first entry closes nothing.
      if (done.first == 0 || keys.kids.count(line.at("kid").get<std::string>()) == 0) continue;
      SKMS_TRYV(writer.Mark());
      done.last = seq;
      done.hash = line.at("hash").get<std::string>();
    }
  }
  return done;
}

/// The file under its last name, whole and verified.
Status Settle(const Keys& keys, const std::string& made, const std::string& name, const Archived& archived) {
  keystore::AuditVerifier verifier(keys.spkis);
  SKMS_TRYV(ReadAuditFile(made, verifier));
  SKMS_TRYV(verifier.Finish({.part = true}));
  const keystore::AuditVerdict& verdict = verifier.verdict();
  if (verdict.signed_up_to != archived.last || verdict.last != archived.last)
    return InternalError(made + " does not hold what was to be archived");
  if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, name.c_str(), RENAME_NOREPLACE) != 0)
    return IoError(name, errno);
  return SyncToDisk(DirectoryOf(name));
}

}  // namespace

void DescribeAuditArchive(OptionsDescription& options) {
  options.add_options()("directory", po::value<std::string>()->value_name("FILE")->required(),
                        "where the file is made")(
      "older-than", po::value<std::string>()->value_name("TIME")->required(),
      "what is younger stays, like 90d; 0 leaves what is not signed");
}

Status RunAuditArchive(const Session& session, const Options& options) {
  const std::int64_t age = ParseDuration("older-than", options["older-than"].as<std::string>());
  const std::string directory = std::filesystem::absolute(options["directory"].as<std::string>()).string();
  const std::string made = directory + "/.audit-" + std::to_string(::getpid()) + ".part";
  // All of it, where all may go.
  if (age == 0) SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/audit/checkpoints", json::object()));
  const std::int64_t now_ms = SystemClock().NowMilliseconds();
  const std::int64_t before_ms = age == 0 ? now_ms + 1 : now_ms - age * 1000;
  SKMS_TRY(const Keys keys, DaemonsKeys(session));
  Archived archived;
  {
    SKMS_TRY(AuditFileWriter writer, AuditFileWriter::Create(made));
    auto written = WriteOldPart(session, before_ms, keys, writer);
    Status finished = written.has_value() ? writer.DropAfterMark() : Status(written.error());
    if (finished.has_value()) finished = writer.Finish();
    if (finished.has_error() || written.value().last == 0) ::unlink(made.c_str());
    SKMS_TRYV(finished);
    archived = std::move(written).value();
  }
  if (archived.last == 0) {
    PrintDone(session.json, "archive", "", "unchanged",
              "nothing is old enough, or signed: nothing was archived");
    return Ok();
  }
  const std::string name =
      directory + "/audit-" + std::to_string(archived.first) + "-" + std::to_string(archived.last) + ".jsonl";
  if (Status settled = Settle(keys, made, name, archived); settled.has_error()) {
    ::unlink(made.c_str());
    return settled;
  }
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/audit/archives",
                      {{"seq", archived.last}, {"hash", archived.hash}}));
  PrintDone(session.json, "archive", name, "archived",
            "entries " + std::to_string(archived.first) + " to " + std::to_string(archived.last) +
                " are in " + name + " alone now: keep it");
  return Ok();
}

}  // namespace skms::provisioning
