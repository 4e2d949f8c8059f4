// Where a command gets a token's PIN: from the token's file or credential, or, for an attended token, from
// the terminal, without echo. Never from argv or the environment.
//
// One thread.
#pragma once

#include <string>

#include "appliance/config/configuration.h"
#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms::provisioning {

/// Asks on the terminal (an empty label: of the only token); without one, reads a line of standard input.
/// Errors: kInvalidArgument (nothing was entered, or too much), kIo.
Result<SecretBytes> AskPin(const std::string& label);

/// Errors: as appliance::ReadPin and AskPin.
Result<SecretBytes> PinFor(const appliance::TokenSection& token);

}  // namespace skms::provisioning
