#include <cstdlib>
#include <string>

#include "appliance/config/configuration.h"
#include "base/file.h"

namespace skms::appliance {

Result<SecretBytes> ReadPin(const TokenSection& token) {
  if (token.attended)
    return Error{
        ErrorCode::kLocked,
        "the token '" + token.label + "' waits for its PIN; give it: skmsctl unlock --label " + token.label};
  if (!token.pin_file.empty()) return ReadSecretFile(token.pin_file, kMaxPinBytes);
  // Set by systemd for LoadCredential=; names a directory, not the secret.
  const char* directory =
      std::getenv("CREDENTIALS_DIRECTORY");  // NOLINT(concurrency-mt-unsafe): before any thread
  if (directory == nullptr || *directory == '\0') {
    return ConfigurationError(
        "no PIN: set token.pin_file to a file of mode 0400, or give the systemd credential skms-pin");
  }
  // systemd grants access by an ACL, whose mask shows as the group's read bit; its directory keeps others
  // out.
  return ReadSecretFile(std::string(directory) + "/skms-pin", kMaxPinBytes, 0037);
}

}  // namespace skms::appliance
