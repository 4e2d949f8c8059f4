// Whether a token is there, for whoever has no PIN and wants none.
#pragma once

#include "base/result.h"
#include "hsm/token_values.h"

namespace skms::hsm {

/// Loads the module and looks for the token; logs in nowhere, and asks for no PIN. Errors: kConfiguration
/// (the module cannot be loaded), kTokenNotFound, kTokenAmbiguous, kTokenBlank (it is not initialised),
/// kPinIncorrect (its PIN is locked, or one try from it), kToken.
Result<TokenInfo> FindUsableToken(const TokenOptions& options);

}  // namespace skms::hsm
