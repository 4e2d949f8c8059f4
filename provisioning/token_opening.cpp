#include "provisioning/token_opening.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "provisioning/pin_entry.h"

namespace skms::provisioning {

Result<std::vector<hsm::TokenMember>> TokenMembers(const appliance::Configuration& configuration) {
  std::vector<hsm::TokenMember> members;
  for (const appliance::TokenSection& token : configuration.tokens) {
    // Asked for once, though the token may be opened twice.
    SKMS_TRY(SecretBytes pin, PinFor(token));
    const auto kept = std::make_shared<const SecretBytes>(std::move(pin));
    members.push_back({{token.module, token.init_args, token.label, token.serial},
                       [kept]() -> Result<SecretBytes> { return kept->Clone(); }});
  }
  return members;
}

Status CheckUser(const std::string& database, const std::string& command) {
  const std::string directory = std::filesystem::absolute(database).parent_path().string();
  struct stat found {};
  if (::stat(directory.c_str(), &found) != 0) {
    return ConfigurationError(directory + ": the directory of store.path is not there; make it first");
  }
  if (::geteuid() == 0 && found.st_uid != 0) {
    return ConfigurationError(directory + " belongs to user " + std::to_string(found.st_uid) +
                              ", who runs the daemon; run " + command + " as that user (see docs/cli.md)");
  }
  return Ok();
}

}  // namespace skms::provisioning
