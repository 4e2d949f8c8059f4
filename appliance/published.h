// What the appliance tells of itself at /.well-known/skms.
#pragma once

#include "api/seal/discovery.h"
#include "appliance/config/configuration.h"
#include "hsm/crypto_module.h"

namespace skms::appliance {

/// Errors: the token's.
Result<seal::DiscoveryDocument> Published(const Configuration& configuration, hsm::CryptoModule& module);

}  // namespace skms::appliance
