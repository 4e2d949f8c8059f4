#include "provisioning/backup_aside.h"

#include <utility>
#include <vector>

#include "base/disk_room.h"
#include "base/new_file.h"
#include "provisioning/token_opening.h"

namespace skms::provisioning {
namespace {

Result<std::unique_ptr<hsm::CryptoModule>> OpenTokens(const appliance::Configuration& configuration) {
  SKMS_TRY(std::vector<hsm::TokenMember> members, TokenMembers(configuration));
  auto module = hsm::CryptoModule::Open(std::move(members));
  if (module.has_value() || module.error().code != ErrorCode::kTokenBlank) return module;
  Error error = std::move(module).error();
  error.detail = "no token of the configuration holds the keys that a backup is opened with: " + error.detail;
  return error;
}

}  // namespace

Result<BackupAside> DecryptAside(const appliance::Configuration& configuration, const std::string& suffix,
                                 const std::string& file) {
  const std::string& path = configuration.store.path;
  SKMS_TRY(const std::uint64_t size, SizeOfFile(file));
  SKMS_TRYV(CheckRoom(DirectoryOf(path), size, configuration.audit.warn_free_mib));
  SKMS_TRY(keystore::ScratchDirectory scratch, keystore::ScratchDirectory::Make(path + suffix));
  SKMS_TRY(std::unique_ptr<hsm::CryptoModule> module, OpenTokens(configuration));
  SKMS_TRY(keystore::BackupContents contents, keystore::OpenBackup(file, scratch.database(), *module));
  return BackupAside{std::move(scratch), std::move(module), std::move(contents)};
}

std::string DamageText(const keystore::DatabaseCheck& found) {
  std::string text;
  const auto add = [&text](const std::string& one) {
    if (!text.empty()) text += "; ";
    text += one;
  };
  if (!found.chain.empty()) add("the audit chain is not whole: " + found.chain);
  if (found.rows.damaged > 0) {
    add(std::to_string(found.rows.damaged) + " of " + std::to_string(found.rows.rows) +
        " rows were changed outside skms");
  }
  for (const std::string& one : found.rows.trouble) add(one);
  return text;
}

std::string StrictWarning(const std::string& missing_kek) {
  if (missing_kek.empty()) return "";
  return "no token of the configuration has " + missing_kek +
         ": keys of services with strict recipients cannot be used";
}

}  // namespace skms::provisioning
