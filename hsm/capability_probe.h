// The probe: tries on the token what we will use, checks each result, leaves nothing behind.
#pragma once

#include "hsm/capabilities.h"
#include "hsm/token.h"

namespace skms::hsm {

/// Never fails for what the token cannot do (that is a row); errors: no session, or the token went away.
Result<Capabilities> ProbeCapabilities(Token& token);

}  // namespace skms::hsm
