// AccessTokenVerifier: a JWS access token → its claims, or the reason why not (RFC 7515, 7519, 9068;
// TS 33.434 A.2).
//
// Algorithms: RS256 and ES256, by the kind of the verifying key, never by the token's word alone. `jku`,
// `x5u`, `jwk`, `x5c` in the header are ignored, `crit` is refused. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/auth/authenticator.h"
#include "api/auth/jwks.h"
#include "base/clock.h"

namespace skms::auth {

struct AccessTokenClaims {
  std::string client_id;
  std::vector<std::string> scopes;
  std::string certificate_sha256;  ///< cnf.x5t#S256 (RFC 8705), empty where there is none
};

/// A fixed slug: "token-malformed", "token-algorithm", "token-key-unknown", "token-signature",
/// "token-expired", "token-not-yet-valid", "token-issuer", "token-audience", "token-claims".
struct TokenRefusal {
  std::string reason;
};

class AccessTokenVerifier {
 public:
  AccessTokenVerifier(const Directory& directory, const Clock& clock, std::int64_t leeway_seconds);
  AccessTokenVerifier(const AccessTokenVerifier&) = delete;
  AccessTokenVerifier& operator=(const AccessTokenVerifier&) = delete;
  ~AccessTokenVerifier();

  std::variant<AccessTokenClaims, TokenRefusal> Verify(std::string_view token);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace skms::auth
