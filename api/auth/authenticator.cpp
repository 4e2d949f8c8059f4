#include "api/auth/authenticator.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "api/auth/access_token.h"
#include "api/auth/certificate.h"
#include "api/auth/rate_limiter.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "base/secret_bytes.h"

namespace skms::auth {
namespace {

constexpr const char* kRealm = "Bearer realm=\"skms\"";

Refusal Refuse(int status, std::string title, std::string detail, std::string challenge, std::string reason,
               std::string actor) {
  Refusal refusal;
  refusal.problem = http::Problem(status, std::move(title), std::move(detail), "");
  refusal.problem.www_authenticate = std::move(challenge);
  refusal.reason = std::move(reason);
  refusal.actor = std::move(actor);
  return refusal;
}

Refusal Unauthorized(std::string detail, std::string challenge, std::string reason, std::string actor) {
  return Refuse(401, "Unauthorized", std::move(detail), std::move(challenge), std::move(reason),
                std::move(actor));
}

Refusal InvalidToken(std::string reason, std::string actor) {
  std::string challenge = std::string(kRealm) + ", error=\"invalid_token\"";
  // RFC 6750 3.1: the client may tell a stale token from a wrong one; which check failed otherwise stays
  // ours.
  std::string detail = "the access token is not accepted";
  if (reason == "token-expired") {
    detail = "the access token has expired";
    challenge += ", error_description=\"expired\"";
  }
  return Unauthorized(std::move(detail), std::move(challenge), std::move(reason), std::move(actor));
}

Refusal Forbidden(std::string detail, std::string challenge, std::string reason, std::string actor) {
  return Refuse(403, "Forbidden", std::move(detail), std::move(challenge), std::move(reason),
                std::move(actor));
}

Refusal TooMany(int retry_after, const std::string& actor) {
  Refusal refusal =
      Refuse(429, "Too Many Requests", "over the rate for this requester", "", "rate-limited", actor);
  refusal.problem.cause = "NF_CONGESTION_RISK";
  refusal.problem.retry_after = retry_after;
  return refusal;
}

constexpr const char* kAssertedIdentity = "X-3GPP-Asserted-Identity";

/// TS 24.547 A.2: an identity that somebody else has established may only be told by a trusted entity.
std::optional<Refusal> RefuseAssertedIdentity(const http::Request& request, const std::string& actor) {
  if (request.headers.Count(kAssertedIdentity) == 0) return std::nullopt;
  return Forbidden("X-3GPP-Asserted-Identity is not taken from here; send an access token", "",
                   "asserted-identity", actor);
}

/// The one identity of the field's value, without its quotes (TS 24.109); empty: it is none, or several.
std::string AssertedUser(const http::Request& request) {
  if (request.headers.Count(kAssertedIdentity) != 1) return {};
  std::string_view value = *request.headers.Find(kAssertedIdentity);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  const bool uri = value.find(':') != std::string_view::npos;
  return uri && value.find_first_of("\", \t\\<>") == std::string_view::npos ? std::string(value)
                                                                            : std::string();
}

/// The token of "Bearer <token>"; nullptr-like empty view when the scheme is another.
std::string_view BearerToken(std::string_view header) {
  constexpr std::string_view kScheme = "bearer ";
  if (header.size() < kScheme.size()) return {};
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = header[i];
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (lower != kScheme[i]) return {};
  }
  header.remove_prefix(kScheme.size());
  while (!header.empty() && header.front() == ' ') header.remove_prefix(1);
  return header;
}

}  // namespace

class Authenticator::State {
 public:
  State(Directory& directory, const Clock& clock, const AuthenticatorOptions& options)
      : directory_(directory),
        clock_(clock),
        verifier_(directory, clock, options.leeway_seconds),
        limiter_(clock, options.requests_per_second, options.burst),
        ue_limiter_(clock, options.requests_per_second, options.burst),
        refused_limiter_(clock, options.refused_per_second, options.refused_burst) {}

  std::variant<AuthenticatedPrincipal, Refusal> Authenticate(const http::Request& request,
                                                             const http::RequestContext& context,
                                                             const std::string& required_scope) {
    const auto facts = context.certificate ? certificates_.Read(context.certificate->der) : nullptr;
    if (!facts) {
      // Through the edge anybody gets as far as this, and each refusal is an entry in the audit chain.
      if (const int wait = refused_limiter_.Take("unknown"); wait > 0) return TooMany(wait, "unknown");
      return Unauthorized("a client certificate is needed", kRealm, "certificate-missing", "unknown");
    }
    const std::optional<DirectoryPrincipal> principal = directory_.FindPrincipal(facts->spki_sha256);
    const std::string actor = principal ? principal->id : "unknown";
    // Before the signature check, which costs the most.
    if (const int wait = limiter_.Take(actor); wait > 0) return TooMany(wait, actor);

    // TLS looked at the handshake; a kept connection or a resumed session may outlive the certificate.
    const std::int64_t now = clock_.NowSeconds();
    if (now < facts->not_before || now > facts->not_after)
      return Unauthorized("the client certificate is not valid now", kRealm, "certificate-expired", actor);
    if (auto refused = RefuseAssertedIdentity(request, actor)) return std::move(*refused);
    auto verified = ReadToken(request, actor);
    if (auto* refused = std::get_if<Refusal>(&verified)) return std::move(*refused);
    return Authorize(std::get<AccessTokenClaims>(verified), *context.certificate, facts->spki, principal,
                     required_scope);
  }

  std::variant<AuthenticatedUe, Refusal> AuthenticateUe(const http::Request& request,
                                                        const http::RequestContext& context,
                                                        const std::string& required_scope) {
    bool verified = false;
    auto authenticated = KnowUe(request, context, required_scope, verified);
    const auto* refused = std::get_if<Refusal>(&authenticated);
    // Whoever has a token is counted for himself; without one they share a bucket, or anybody could have the
    // audit chain written as fast as he can ask.
    if (refused != nullptr && !verified) {
      const int wait = refused_limiter_.Take(refused->actor);
      if (wait > 0) return TooMany(wait, refused->actor);
    }
    return authenticated;
  }

 private:
  /// The one access token of a request, verified; or 401.
  std::variant<AccessTokenClaims, Refusal> ReadToken(const http::Request& request, const std::string& actor) {
    const std::size_t headers = request.headers.Count("Authorization");
    if (headers == 0) return Unauthorized("an access token is needed", kRealm, "token-missing", actor);
    if (headers > 1) return InvalidToken("token-doubled", actor);
    const std::string_view token = BearerToken(*request.headers.Find("Authorization"));
    if (token.empty()) return Unauthorized("a Bearer access token is needed", kRealm, "token-missing", actor);
    auto verified = verifier_.Verify(token);
    if (const auto* refused = std::get_if<TokenRefusal>(&verified))
      return InvalidToken(refused->reason, actor);
    return std::move(std::get<AccessTokenClaims>(verified));
  }

  /// Names a UE in memory without being its identity.
  static std::string DigestOf(const AccessTokenClaims& claims) {
    Bytes fields;
    for (const std::string& field : {claims.issuer_id, claims.client_id, claims.user, claims.ue})
      AppendField(fields, field);
    return AsText(Sha256(fields));
  }

  static bool BoundTo(const AccessTokenClaims& claims, const http::PeerCertificate& certificate) {
    const std::string presented = ToBase64Url(Sha256(certificate.der));
    return ConstantTimeEqual(AsBytes(presented), AsBytes(claims.certificate_sha256));
  }

  static bool HasScope(const AccessTokenClaims& claims, const std::string& scope) {
    return std::find(claims.scopes.begin(), claims.scopes.end(), scope) != claims.scopes.end();
  }

  static Refusal NoScope(const std::string& scope, const std::string& actor) {
    return Forbidden("the access token does not cover this API",
                     std::string(kRealm) + ", error=\"insufficient_scope\", scope=\"" + scope + "\"",
                     "token-scope", actor);
  }

  std::variant<AuthenticatedUe, Refusal> KnowUe(const http::Request& request,
                                                const http::RequestContext& context,
                                                const std::string& required_scope, bool& verified_token) {
    const std::string actor = "ue";
    if (context.transport == http::TransportKind::kAssertingProxy) {
      // With a token, the token is what counts (TS 24.547 A.2.3).
      if (request.headers.Count("Authorization") == 0 && request.headers.Count(kAssertedIdentity) > 0)
        return KnowByAssertion(request, actor, verified_token);
    } else if (auto refused = RefuseAssertedIdentity(request, actor)) {
      return std::move(*refused);
    }
    auto verified = ReadToken(request, actor);
    if (auto* refused = std::get_if<Refusal>(&verified)) return std::move(*refused);
    auto& claims = std::get<AccessTokenClaims>(verified);
    verified_token = true;
    if (const int wait = ue_limiter_.Take(DigestOf(claims)); wait > 0) return TooMany(wait, actor);
    AuthenticatedUe ue;
    if (!claims.certificate_sha256.empty()) {
      const auto facts = context.certificate ? certificates_.Read(context.certificate->der) : nullptr;
      const std::int64_t now = clock_.NowSeconds();
      if (!facts || !BoundTo(claims, *context.certificate) || now < facts->not_before ||
          now > facts->not_after)
        return InvalidToken("token-bound-to-another-certificate", actor);
      ue.certificate_public_key = facts->spki;
    }
    if (!HasScope(claims, required_scope)) return NoScope(required_scope, actor);
    if (!claims.services || claims.services->empty())
      return Forbidden("the access token names no VAL service", "", "token-services", actor);
    ue.issuer = std::move(claims.issuer_id);
    ue.services = std::move(*claims.services);
    ue.user = std::move(claims.user);
    ue.ue = std::move(claims.ue);
    ue.client = std::move(claims.client);
    ue.key_thumbprint = std::move(claims.key_thumbprint);
    ue.token_sha256 = Sha256(AsBytes(BearerToken(*request.headers.Find("Authorization"))));
    return ue;
  }

  std::variant<AuthenticatedUe, Refusal> KnowByAssertion(const http::Request& request,
                                                         const std::string& actor, bool& known) {
    AuthenticatedUe ue;
    ue.user = AssertedUser(request);
    if (ue.user.empty())
      return Forbidden("X-3GPP-Asserted-Identity must be one URI", "", "asserted-identity", actor);
    known = true;
    ue.token_sha256 = Sha256(AsBytes("asserted " + ue.user));
    if (const int wait = ue_limiter_.Take(AsText(ue.token_sha256)); wait > 0) return TooMany(wait, actor);
    return ue;
  }

  static std::variant<AuthenticatedPrincipal, Refusal> Authorize(
      const AccessTokenClaims& claims, const http::PeerCertificate& certificate, const Bytes& spki,
      const std::optional<DirectoryPrincipal>& principal, const std::string& required_scope) {
    const std::string actor = principal ? principal->id : "unknown";
    if (!claims.certificate_sha256.empty() && !BoundTo(claims, certificate))
      return InvalidToken("token-bound-to-another-certificate", actor);
    // No proof of another key comes with a request here.
    if (claims.certificate_sha256.empty() && !claims.key_thumbprint.empty())
      return InvalidToken("token-bound-to-a-key", actor);
    if (!principal)
      return Forbidden("this client certificate is not enrolled", "", "certificate-unknown", actor);
    if (!HasScope(claims, required_scope)) return NoScope(required_scope, actor);
    if (!ConstantTimeEqual(AsBytes(claims.client_id), AsBytes(principal->client_id))) {
      return Forbidden("the access token is another client's", "", "client-id-mismatch", actor);
    }
    return AuthenticatedPrincipal{principal->id, principal->role, spki, claims.services, claims.provisioning};
  }

  Directory& directory_;
  const Clock& clock_;
  CertificateReader certificates_;
  AccessTokenVerifier verifier_;
  RateLimiter limiter_;
  RateLimiter ue_limiter_;
  RateLimiter refused_limiter_;
};

Authenticator::Authenticator(Directory& directory, const Clock& clock, AuthenticatorOptions options)
    : state_(std::make_unique<State>(directory, clock, options)) {}
Authenticator::~Authenticator() = default;

std::variant<AuthenticatedPrincipal, Refusal> Authenticator::Authenticate(const http::Request& request,
                                                                          const http::RequestContext& context,
                                                                          const std::string& required_scope) {
  return state_->Authenticate(request, context, required_scope);
}

std::variant<AuthenticatedUe, Refusal> Authenticator::AuthenticateUe(const http::Request& request,
                                                                     const http::RequestContext& context,
                                                                     const std::string& required_scope) {
  return state_->AuthenticateUe(request, context, required_scope);
}

}  // namespace skms::auth
