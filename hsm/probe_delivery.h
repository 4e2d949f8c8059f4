// The third part of the probe: how keys reach recipients: RSA-OAEP, RSA-AES in one call, and ECDH with a KDF;
// each result opened by OpenSSL.
#pragma once

#include "hsm/capabilities.h"
#include "hsm/token.h"

namespace skms::hsm {

/// Adds rows and fields to `capabilities`, which must hold the first part's (the KWP mechanism). What the
/// token cannot do is a row; errors: kInternal (OpenSSL).
Status ProbeDelivery(Token& token, Capabilities& capabilities);

}  // namespace skms::hsm
