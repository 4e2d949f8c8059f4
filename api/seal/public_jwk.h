// A public key as a JSON Web Key (RFC 7517, 7518): of kind EC on P-256 or P-384, or RSA. Pure functions;
// thread-safe.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace skms::seal {

/// "kty" and the key's own members from SubjectPublicKeyInfo DER. kInternal: another kind of key.
Result<nlohmann::json> PublicJwk(ByteView spki);

/// A public key that somebody sent to have keys wrapped to.
struct RecipientJwk {
  Bytes spki;
  std::string thumbprint;  ///< RFC 7638, SHA-256, base64url: what a token's cnf.jkt (RFC 9449) names
};

/// kInvalidArgument: neither an RSA key of 2048 to 8192 bits nor an EC key on P-256 or P-384, private
/// members, numbers in another form than RFC 7518 6.2.1 and 6.3.1 (which would give one key two thumbprints).
Result<RecipientJwk> ReadRecipientJwk(const nlohmann::json& jwk);

}  // namespace skms::seal
