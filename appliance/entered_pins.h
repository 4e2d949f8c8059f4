// EnteredPins: the PINs that administrators have typed, kept for as long as the process runs, for a token
// that was lost is logged in to again; and which PINs tokens refused, wherever they came from, so that none
// of them is ever sent again by this process.
//
// Thread-safe. Wiped at the end.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "appliance/config/configuration.h"
#include "base/digest.h"
#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms::appliance {

class EnteredPins {
 public:
  /// The one that was kept before, for Restore.
  std::optional<SecretBytes> Keep(const std::string& label, SecretBytes pin);
  /// As it was before Keep.
  void Restore(const std::string& label, std::optional<SecretBytes> former);
  /// What the token said to it. Of a PIN that works no digest is kept; once one does, what was refused before
  /// may be right another day.
  void Answered(const std::string& label, const SecretBytes& pin, bool took);
  /// One that was typed; else that of its file or credential. Errors: as ReadPin; kPinIncorrect for one that
  /// was refused before.
  Result<SecretBytes> PinOf(const TokenSection& token) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, SecretBytes> pins_;
  std::map<std::string, std::set<Sha256Digest>> refused_;
};

/// Nobody could open a token before an administrator types a PIN.
bool StartsLocked(const Configuration& configuration);

}  // namespace skms::appliance
