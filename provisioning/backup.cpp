// skmsctl backup create and verify: what a backup operator does, who reads nothing but the header.
#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/new_file.h"
#include "base/public_key_file.h"
#include "base/running_digest.h"
#include "keystore/backup.h"
#include "provisioning/admin_client.h"
#include "provisioning/backup_json.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

/// Into `file`, compared with what the daemon says of it.
Status Fetch(const Session& session, const json& made, NewFile& file) {
  const std::string path = "/admin/v1/backups/" + made.at("id").get<std::string>() + "/content?after=";
  const auto bytes = made.at("bytes").get<std::int64_t>();
  const auto signed_bytes = made.at("signedBytes").get<std::int64_t>();
  RunningSha256 hash;
  for (std::int64_t got = 0; got < bytes;) {
    SKMS_TRY(const json answer, AdminGet(session, path + std::to_string(got)));
    const auto piece = FromBase64Url(answer.at("octets").get<std::string>());
    const auto size = piece ? static_cast<std::int64_t>(piece->size()) : 0;
    if (size == 0 || got + size > bytes)
      return InternalError("the daemon's backup ends elsewhere than it says");
    SKMS_TRYV(file.Write(*piece));
    // The statement behind it is not part of what it speaks of.
    const std::int64_t hashed = std::min(size, std::max<std::int64_t>(0, signed_bytes - got));
    hash.Add(ByteView(*piece).first(static_cast<std::size_t>(hashed)));
    got += size;
  }
  if (ToHex(hash.Finish()) != made.at("sha256").get<std::string>())
    return IntegrityError("what came is not what the daemon made; make another backup");
  return file.Finish();
}

Result<std::vector<Bytes>> KeysOfFiles(const std::vector<std::string>& files) {
  std::vector<Bytes> keys;
  keys.reserve(files.size());
  for (const std::string& file : files) {
    SKMS_TRY(std::vector<Bytes> some, ReadPublicKeys(file));
    std::move(some.begin(), some.end(), std::back_inserter(keys));
  }
  return keys;
}

Result<std::vector<Bytes>> KeysOfDaemon(const Session& session) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/audit/keys"));
  std::vector<Bytes> keys;
  for (const json& key : answer.at("keys")) {
    auto spki = FromBase64Url(key.at("spki").get<std::string>());
    if (!spki) return InternalError("the daemon's answer holds no key");
    keys.push_back(std::move(*spki));
  }
  return keys;
}

std::string TextOf(const std::set<std::uint32_t>& generations, const std::string& name) {
  std::string text;
  for (const std::uint32_t generation : generations) {
    if (!text.empty()) text += ' ';
    text += name;
    text += std::to_string(generation);
  }
  return text;
}

}  // namespace

json BackupJson(const std::string& file, const keystore::BackupContents& contents) {
  const keystore::BackupHeader& header = contents.header;
  return {{"file", file},
          {"time", FormatUtc(header.time_ms / 1000)},
          {"server", header.server},
          {"version", header.version},
          {"schema", header.schema},
          {"tokens", header.tokens},
          {"signedBy", contents.jws.header.kid},
          {"kek", header.kek},
          {"strictKek", header.strict_kek},
          {"mac", header.mac},
          {"services", header.services},
          {"keyVersions", header.key_versions},
          {"payloads", header.payloads},
          {"entries", header.entries},
          {"head", header.head},
          {"checkpoint", header.checkpoint},
          {"sha256", contents.statement.hash}};
}

std::string BackupPairs(const keystore::BackupContents& contents) {
  const keystore::BackupHeader& header = contents.header;
  return RenderPairs(
      {{"made", FormatUtc(header.time_ms / 1000) + " by " + header.server + ", skms " + header.version},
       {"holds", std::to_string(header.services) + " services, " + std::to_string(header.key_versions) +
                     " key versions, " + std::to_string(header.payloads) + " payloads"},
       {"audit chain", "to entry " + std::to_string(header.entries) + ", head " + header.head},
       {"signed by", contents.jws.header.kid + " of " + header.tokens},
       {"needs", TextOf(header.kek, "skms-kek-") +
                     (header.strict_kek.empty() ? "" : " " + TextOf(header.strict_kek, "skms-strict-kek-")) +
                     " " + TextOf(header.mac, "skms-mac-") + " skms-sign-" + std::to_string(header.sign)},
       {"sha256", contents.statement.hash}});
}

void DescribeBackupCreate(OptionsDescription& options) {
  options.add_options()("file", po::value<std::string>()->value_name("FILE")->required(),
                        "the file to be made, mode 0600; nothing may be there")(
      "with-damage", "also where the audit chain or the directory was changed: what is wrong is recorded");
}

Status RunBackupCreate(const Session& session, const Options& options) {
  const auto path = options["file"].as<std::string>();
  // Before the daemon begins, so that a path that cannot be is told at once.
  SKMS_TRY(NewFile file, NewFile::Create(path));
  SKMS_TRY(const json made, AdminSendPatiently(session, "POST", "/admin/v1/backups",
                                               {{"withDamage", options.count("with-damage") > 0}}));
  Status fetched = Fetch(session, made, file);
  Status removed = AdminDelete(session, "/admin/v1/backups/" + made.at("id").get<std::string>());
  SKMS_TRYV(std::move(fetched));
  SKMS_TRYV(std::move(removed));
  SKMS_TRY(const keystore::BackupContents contents, keystore::ReadBackupFile(path));
  if (session.json) {
    json out = BackupJson(path, contents);
    out["damage"] = made.at("damage");
    PrintJson(out);
    return Ok();
  }
  std::cout << "backup " << Printable(path) << " is made\n" << BackupPairs(contents);
  for (const json& one : made.at("damage"))
    std::cout << "warning: " << Printable(one.get<std::string>()) << '\n';
  std::cout << "next: skmsctl backup drill --file " << Printable(path)
            << "; nothing but a drill looks at each key's row\n";
  return Ok();
}

void DescribeBackupVerify(OptionsDescription& options) {
  options.add_options()("file", po::value<std::string>()->value_name("FILE")->required(), "the backup")(
      "public-key", po::value<std::vector<std::string>>()->value_name("FILE"),
      "what skmsctl audit key printed (PEM): verified without the daemon; else by the daemon's keys, and "
      "audited");
}

Status RunBackupVerify(const Session& session, const Options& options) {
  const auto path = options["file"].as<std::string>();
  const bool offline = options.count("public-key") > 0;
  SKMS_TRY(
      const std::vector<Bytes> keys,
      offline ? KeysOfFiles(options["public-key"].as<std::vector<std::string>>()) : KeysOfDaemon(session));
  SKMS_TRY(const keystore::BackupContents contents, keystore::ReadBackupFile(path));
  SKMS_TRYV(keystore::VerifyBackupSignature(contents, keys));
  if (!offline)
    SKMS_TRYV(
        AdminSend(session, "POST", "/admin/v1/backups/checks", {{"statement", contents.statement_text}}));
  if (session.json) {
    json out = BackupJson(path, contents);
    out["whole"] = true;
    PrintJson(out);
  } else {
    std::cout << "the backup is whole, and signed by a key that was given\n" << BackupPairs(contents);
  }
  return Ok();
}

void DescribeBackupAuthorise(OptionsDescription& options) {
  options.add_options()("file", po::value<std::string>()->value_name("FILE")->required(), "the backup")(
      "to", po::value<std::string>()->value_name("FILE")->required(),
      "file to be made: what the token signs once others have approved it, for skmsctl backup restore");
}

Status RunBackupAuthorise(const Session& session, const Options& options) {
  const auto file = options["file"].as<std::string>();
  const auto to = options["to"].as<std::string>();
  SKMS_TRY(const keystore::BackupContents contents, keystore::ReadBackupFile(file));
  // Before an approval is used up for it.
  SKMS_TRY(NewFile out, NewFile::Create(to));
  SKMS_TRY(const json answer, AdminSend(session, "POST", "/admin/v1/backups/restorations",
                                        {{"sha256", contents.statement.hash}}));
  const std::string line = answer.at("authorisation").get<std::string>() + "\n";
  SKMS_TRYV(out.Write(AsBytes(line)));
  SKMS_TRYV(out.Finish());
  if (session.json) {
    PrintJson({{"file", file}, {"authorisation", to}, {"expires", answer.at("expires")}});
    return Ok();
  }
  std::cout << "the restore is authorised until " << Cell(answer, "expires")
            << "; stop skmsd, then: skmsctl backup restore --file " << ShellWord(file) << " --authorisation "
            << ShellWord(to) << '\n';
  return Ok();
}

}  // namespace skms::provisioning
