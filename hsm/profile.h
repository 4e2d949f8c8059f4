// Security profiles: how much a token must do before the daemon starts on it. A verdict is a pure function of
// what the probe found.
//
// `lab`: it works at all. `standard`: keys stay in the token unless wrapped by us. `strict`: the token keeps
// its word by itself, without our help, and uses nothing that is on its way out. Each contains the one before
// it. Thread-safe.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "hsm/capabilities.h"

namespace skms::hsm {

enum class Profile { kLab, kStandard, kStrict };
inline constexpr std::array kProfiles{Profile::kLab, Profile::kStandard, Profile::kStrict};

/// "lab", "standard", "strict".
std::string_view NameOf(Profile profile);
/// nullopt: no such profile.
std::optional<Profile> ProfileNamed(std::string_view name);

struct ProfileVerdict {
  Profile profile = Profile::kLab;
  std::vector<CapabilityRow> failed;  ///< the probe's rows that do not meet it; empty: it is met
  bool passes() const { return failed.empty(); }
};

/// A row that the profile needs and the probe never came to is among the failed ones, too.
ProfileVerdict Judge(Profile profile, const Capabilities& capabilities);

/// "RSA-OAEP with SHA-256: C_WrapKey: CKR_ARGUMENTS_BAD; …", empty when it passes.
std::string FailedLines(const ProfileVerdict& verdict);

}  // namespace skms::hsm
