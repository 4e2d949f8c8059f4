// The second part of the probe: signatures, EC private keys, AES-GCM and RFC 3394.
#pragma once

#include "hsm/capabilities.h"
#include "hsm/token.h"

namespace skms::hsm {

/// Adds rows and fields to `capabilities`, which must hold the first part's. What the token cannot do is a
/// row; errors: none of its own.
Status ProbeMechanisms(Token& token, Capabilities& capabilities);

}  // namespace skms::hsm
