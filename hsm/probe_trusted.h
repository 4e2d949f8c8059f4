// The rows about TRUSTED keys: tried with the user's PIN alone, as far as that goes. That a TRUSTED key is
// accepted where others are refused shows when the security officer makes one (security_officer.h), and at
// each opening (strict_objects.h).
#pragma once

#include <array>

#include "hsm/capabilities.h"
#include "hsm/token.h"

namespace skms::hsm {

/// Each must be kYes for a service to have strict recipients.
inline constexpr std::array<const char*, 4> kTrustedRows{"WRAP_WITH_TRUSTED enforced",
                                                         "unwrap template enforced", "wrap template enforced",
                                                         "TRUSTED is the security officer's"};

/// Errors: as ProbeCapabilities.
Status ProbeTrusted(Token& token, Capabilities& capabilities);

/// "WRAP_WITH_TRUSTED enforced: …" of the rows that are not kYes; empty: the token enforces it.
std::string TrustedShortfall(const Capabilities& capabilities);

}  // namespace skms::hsm
