// TokenClaims: what an access token's payload says, read by the profile of the issuer whose key verified it
// (RFC 7519, 9068, 8705, 9449; TS 33.434 A.2.2).
//
// Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/auth/authenticator.h"

namespace skms::auth {

struct AccessTokenClaims {
  std::string issuer_id;  ///< of the directory, not `iss`
  std::string client_id;
  std::vector<std::string> scopes;
  std::string certificate_sha256;                    ///< cnf.x5t#S256 (RFC 8705), empty where there is none
  std::string key_thumbprint;                        ///< cnf.jkt (RFC 9449), empty where there is none
  std::optional<std::vector<std::string>> services;  ///< nullopt: the token does not say
  std::string user;                                  ///< empty: not vouched for, likewise below
  std::string ue;
  std::string client;
  ProvisioningGrant provisioning;
  std::int64_t not_before = 0;  ///< the later of `nbf` and `iat`, seconds since 1970
  std::int64_t expiry = 0;      ///< `exp`
};

/// A string member, or nullopt when it is absent or something else.
std::optional<std::string> StringMember(const nlohmann::json& object, const char* name);

/// Whether ReadClaims would say of the dates at `now` what it said when it read these.
bool ValidAt(const AccessTokenClaims& claims, std::int64_t now, std::int64_t leeway);

/// A fixed slug: "token-malformed", "token-algorithm", "token-key-unknown", "token-signature",
/// "token-expired", "token-not-yet-valid", "token-issuer", "token-audience", "token-claims".
struct TokenRefusal {
  std::string reason;
};

/// `payload` is an object without duplicate members. A claim that the profile names and that is there in
/// another form than it should be is "token-claims": half a statement must not count as none.
std::variant<AccessTokenClaims, TokenRefusal> ReadClaims(const nlohmann::json& payload,
                                                         const DirectoryIssuer& issuer, std::int64_t now,
                                                         std::int64_t leeway);

}  // namespace skms::auth
