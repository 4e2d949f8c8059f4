// JwksKeys: the verification keys of a JWK Set (RFC 7517), parsed once.
//
// Immutable, copyable (shares the parsed keys), thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

// cjose's own name for what cjose_jwk_t points to.
struct _cjose_jwk_int;  // NOLINT(clang-diagnostic-reserved-identifier)

namespace skms::auth {

struct VerificationKey {
  std::string kid;  ///< may be empty
  std::string alg;  ///< "RS256" or "ES256": the one algorithm this key verifies
  std::shared_ptr<_cjose_jwk_int> jwk;
};

/// Keys that are not for verification or of another kind are passed over. Errors: kInvalidArgument: not a JWK
/// Set, a private member in it, an RSA key under 2048 bits, or no usable key at all.
Result<std::vector<VerificationKey>> ParseJwks(const std::string& jwks);

}  // namespace skms::auth
