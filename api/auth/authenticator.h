// Authenticator: client certificate and access token → Principal, or the one right refusal.
//
// TS 33.434 5.1.1.4 and 5.3.2, TS 29.549 9.2: mutual TLS and an OAuth 2.0 access token on KM-S. Order of
// checks: TLS peer, Authorization present, JWS structure, algorithm allow-list (RS256, ES256), signature,
// exp/nbf with leeway, issuer, audience, scope, client_id against the certificate's principal. Deny by
// default. RFC 6750, 7515, 7519, 8705. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/http/message.h"
#include "api/http/problem_details.h"
#include "base/clock.h"
#include "base/result.h"

namespace skms::auth {

/// Who is asking, after both credentials agreed.
struct AuthenticatedPrincipal {
  std::string id;
  std::string role;              ///< "val-server", "group-server"
  Bytes certificate_public_key;  ///< SubjectPublicKeyInfo DER of the client certificate
};

/// A principal as the directory knows it.
struct DirectoryPrincipal {
  std::string id;
  std::string role;
  std::string client_id;  ///< the token's client_id must be this
};

/// A trusted token issuer (a SIM-S profile).
struct DirectoryIssuer {
  std::string id;
  std::string issuer;    ///< required value of "iss"
  std::string audience;  ///< required in "aud"
  std::string jwks;      ///< JWK Set, JSON text
};

/// Where principals and issuers are looked up; implemented over the key store's directory. Thread-safe.
class Directory {
 public:
  virtual ~Directory() = default;
  /// By SHA-256 of the certificate's SubjectPublicKeyInfo.
  virtual std::optional<DirectoryPrincipal> FindPrincipal(ByteView spki_sha256) const = 0;
  virtual std::vector<DirectoryIssuer> Issuers() const = 0;
  /// Changes when Issuers() would; lets parsed keys be kept.
  virtual std::uint64_t IssuersVersion() const = 0;
};

/// Why a request was refused: what the peer is told, and what the audit chain keeps.
struct Refusal {
  http::ProblemDetails problem;
  std::string reason;  ///< fixed slug, e.g. "token-expired", "certificate-unknown", "client-id-mismatch"
  std::string actor;   ///< principal id where the certificate is known, else "unknown"
};

struct AuthenticatorOptions {
  std::int64_t leeway_seconds = 30;  ///< 0 to 30 (TS 33.434 A.2.2.2)
  double requests_per_second = 200;  ///< per principal; 429 past it
  double burst = 400;
};

class Authenticator {
 public:
  Authenticator(const Directory& directory, const Clock& clock, AuthenticatorOptions options);
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;
  ~Authenticator();

  /// Either the principal, or the refusal to answer: 401 + WWW-Authenticate (no or unusable credentials), 403
  /// (good token, but not this client's, or without the scope), 429 + Retry-After (over the principal's
  /// rate).
  std::variant<AuthenticatedPrincipal, Refusal> Authenticate(const http::Request& request,
                                                             const http::RequestContext& context,
                                                             const std::string& required_scope);

 private:
  class State;
  std::unique_ptr<State> state_;
};

/// Checks that `jwks` is a JWK Set with at least one usable verification key (RSA ≥ 2048 or EC P-256, no
/// private members). Errors: kInvalidArgument with what to mend.
Status CheckJwks(const std::string& jwks);

}  // namespace skms::auth
