// Authenticator: client certificate and access token → Principal, or the one right refusal.
//
// TS 33.434 5.1.1.4 and 5.3.2, TS 29.549 9.2: mutual TLS and an OAuth 2.0 access token on KM-S; TS 33.434
// 5.1.1.5: the token alone on KM-UU. Order of
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
#include "base/digest.h"
#include "base/result.h"

namespace skms::auth {

/// What SKeyProv says (TS 33.434 A.2.2.3, whose value is left open): for every service, or for these.
struct ProvisioningGrant {
  bool all = false;
  std::vector<std::string> services;
};

/// Who is asking, after both credentials agreed.
struct AuthenticatedPrincipal {
  std::string id;
  std::string role;              ///< "val-server", "group-server"
  Bytes certificate_public_key;  ///< SubjectPublicKeyInfo DER of the client certificate
  std::optional<std::vector<std::string>>
      services{};  ///< that the token names; nullopt: it names none, and policy alone decides
  ProvisioningGrant provisioning{};
};

/// A UE's key management client, known by its access token (TS 33.434 5.3.1), or by what a trusted proxy
/// asserts (TS 24.547 A.2.3).
struct AuthenticatedUe {
  std::string issuer;  ///< id of the token's issuer in the directory; empty: a trusted proxy asserts `user`
  std::optional<std::vector<std::string>>
      services;                  ///< VAL services that the token names; nullopt: a proxy names none
  std::string user;              ///< VAL user id; empty: not vouched for, likewise below
  std::string ue;                ///< VAL UE id
  std::string client;            ///< VAL client id
  std::string key_thumbprint;    ///< cnf.jkt: only a key of this thumbprint may be delivered to
  Bytes certificate_public_key;  ///< of the client certificate that the token is bound to; else empty
  Sha256Digest token_sha256{};   ///< names the token without being it
};

/// A principal as the directory knows it.
struct DirectoryPrincipal {
  std::string id;
  std::string role;
  std::string client_id;  ///< the token's client_id must be this
};

/// By which names an issuer's tokens say what they say. An empty name: they say nothing of the kind.
struct TokenProfile {
  std::string services_claim;
  std::string user_claim;
  std::string ue_claim;
  std::string client_claim;
  std::string provisioning_claim = "SKeyProv";
  std::vector<std::string> provisioning_values = {"true", "list"};  ///< also "string"
};

/// A trusted token issuer (a SIM-S profile).
struct DirectoryIssuer {
  std::string id;
  std::string issuer;    ///< required value of "iss"
  std::string audience;  ///< required in "aud"
  std::string jwks;      ///< JWK Set, JSON text; empty: not there yet
  TokenProfile profile{};
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
  /// A token names this issuer and a key that nobody has. True when there may be newer keys now. Bounded in
  /// time, and in how often it really looks.
  virtual bool RefreshKeys(const std::string& issuer_id) = 0;
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
  /// Of UEs without a usable token, all together, and of clients without a certificate; 429 past it.
  double refused_per_second = 10;
  double refused_burst = 100;
};

class Authenticator {
 public:
  Authenticator(Directory& directory, const Clock& clock, AuthenticatorOptions options);
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;
  ~Authenticator();

  /// Either the principal, or the refusal to answer: 401 + WWW-Authenticate (no or unusable credentials), 403
  /// (good token, but not this client's, or without the scope), 429 + Retry-After (over the principal's
  /// rate).
  std::variant<AuthenticatedPrincipal, Refusal> Authenticate(const http::Request& request,
                                                             const http::RequestContext& context,
                                                             const std::string& required_scope);

  /// KM-UU: no certificate is needed, but one that the token is bound to (RFC 8705) must be there. On
  /// kAssertingProxy a request without a token may come with one X-3GPP-Asserted-Identity instead, whose URI
  /// is the VAL user (TS 24.547 A.2.3); anywhere else that field is 403. Refusals: as Authenticate, and 403
  /// for a token that names no VAL service or an assertion that is none.
  std::variant<AuthenticatedUe, Refusal> AuthenticateUe(const http::Request& request,
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
