// EnteredPins: the PINs that administrators have typed, kept for as long as the process runs, for a token
// that was lost is logged in to again.
//
// Thread-safe. Wiped at the end.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "appliance/config/configuration.h"
#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms::appliance {

class EnteredPins {
 public:
  void Keep(const std::string& label, SecretBytes pin);
  void Forget(const std::string& label);
  /// One that was typed; else that of its file or credential. Errors: as ReadPin.
  Result<SecretBytes> PinOf(const TokenSection& token) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, SecretBytes> pins_;
};

/// Nobody could open a token before an administrator types a PIN.
bool StartsLocked(const Configuration& configuration);

}  // namespace skms::appliance
