// AccessTokenVerifier: a JWS access token → its claims, or the reason why not (RFC 7515, 7519, 9068;
// TS 33.434 A.2).
//
// Algorithms: RS256 and ES256, by the kind of the verifying key, never by the token's word alone. `jku`,
// `x5u`, `jwk`, `x5c` in the header are ignored, `crit` is refused. The issuer, and so the profile, is the
// one whose key verified, the one that `iss` names first; a `kid` that nobody has makes the directory look
// for newer keys once. A token that was verified is not verified again until the directory changes or its
// time is over; how many are remembered is bounded. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

#include "api/auth/authenticator.h"
#include "api/auth/token_claims.h"
#include "base/clock.h"

namespace skms::auth {

class AccessTokenVerifier {
 public:
  AccessTokenVerifier(Directory& directory, const Clock& clock, std::int64_t leeway_seconds);
  AccessTokenVerifier(const AccessTokenVerifier&) = delete;
  AccessTokenVerifier& operator=(const AccessTokenVerifier&) = delete;
  ~AccessTokenVerifier();

  std::variant<AccessTokenClaims, TokenRefusal> Verify(std::string_view token);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace skms::auth
