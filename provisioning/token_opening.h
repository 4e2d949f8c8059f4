// The tokens of the configuration, for commands that need them beside or before the daemon: each PIN is asked
// for once (pin_entry.h).
//
// One thread.
#pragma once

#include <string>
#include <vector>

#include "appliance/config/configuration.h"
#include "base/result.h"
#include "hsm/token_values.h"

namespace skms::provisioning {

/// Errors: those of PinFor.
Result<std::vector<hsm::TokenMember>> TokenMembers(const appliance::Configuration& configuration);

/// Root in a directory of the daemon's user would leave files there that the daemon cannot open. `command`
/// names what was to be run. Errors: kConfiguration.
Status CheckUser(const std::string& database, const std::string& command);

}  // namespace skms::provisioning
