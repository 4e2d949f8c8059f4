// A public key as a JSON Web Key (RFC 7517, 7518): of kind EC P-256 or RSA. Pure function; thread-safe.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/bytes.h"
#include "base/result.h"

namespace skms::seal {

/// "kty" and the key's own members from SubjectPublicKeyInfo DER. kInternal: another kind of key.
Result<nlohmann::json> PublicJwk(ByteView spki);

}  // namespace skms::seal
