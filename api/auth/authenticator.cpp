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
  State(const Directory& directory, const Clock& clock, const AuthenticatorOptions& options)
      : directory_(directory),
        clock_(clock),
        verifier_(directory, clock, options.leeway_seconds),
        limiter_(clock, options.requests_per_second, options.burst) {}

  std::variant<AuthenticatedPrincipal, Refusal> Authenticate(const http::Request& request,
                                                             const http::RequestContext& context,
                                                             const std::string& required_scope) {
    const auto facts = context.certificate ? ReadCertificate(context.certificate->der) : std::nullopt;
    if (!facts)
      return Unauthorized("a client certificate is needed", kRealm, "certificate-missing", "unknown");
    const std::optional<DirectoryPrincipal> principal = directory_.FindPrincipal(Sha256(facts->spki));
    const std::string actor = principal ? principal->id : "unknown";
    // Before the signature check, which costs the most.
    if (const int wait = limiter_.Take(actor); wait > 0) return TooMany(wait, actor);

    // TLS looked at the handshake; a kept connection or a resumed session may outlive the certificate.
    const std::int64_t now = clock_.NowSeconds();
    if (now < facts->not_before || now > facts->not_after)
      return Unauthorized("the client certificate is not valid now", kRealm, "certificate-expired", actor);
    const std::size_t headers = request.headers.Count("Authorization");
    if (headers == 0) return Unauthorized("an access token is needed", kRealm, "token-missing", actor);
    if (headers > 1) return InvalidToken("token-doubled", actor);
    const std::string_view token = BearerToken(*request.headers.Find("Authorization"));
    if (token.empty()) return Unauthorized("a Bearer access token is needed", kRealm, "token-missing", actor);
    auto verified = verifier_.Verify(token);
    if (const auto* refused = std::get_if<TokenRefusal>(&verified))
      return InvalidToken(refused->reason, actor);
    return Authorize(std::get<AccessTokenClaims>(verified), *context.certificate, facts->spki, principal,
                     required_scope);
  }

 private:
  static std::variant<AuthenticatedPrincipal, Refusal> Authorize(
      const AccessTokenClaims& claims, const http::PeerCertificate& certificate, const Bytes& spki,
      const std::optional<DirectoryPrincipal>& principal, const std::string& required_scope) {
    const std::string actor = principal ? principal->id : "unknown";
    if (!claims.certificate_sha256.empty()) {
      const std::string presented = ToBase64Url(Sha256(certificate.der));
      if (!ConstantTimeEqual(AsBytes(presented), AsBytes(claims.certificate_sha256))) {
        return InvalidToken("token-bound-to-another-certificate", actor);
      }
    }
    if (!principal)
      return Forbidden("this client certificate is not enrolled", "", "certificate-unknown", actor);
    if (std::find(claims.scopes.begin(), claims.scopes.end(), required_scope) == claims.scopes.end()) {
      return Forbidden(
          "the access token does not cover this API",
          std::string(kRealm) + ", error=\"insufficient_scope\", scope=\"" + required_scope + "\"",
          "token-scope", actor);
    }
    if (!ConstantTimeEqual(AsBytes(claims.client_id), AsBytes(principal->client_id))) {
      return Forbidden("the access token is another client's", "", "client-id-mismatch", actor);
    }
    return AuthenticatedPrincipal{principal->id, principal->role, spki};
  }

  const Directory& directory_;
  const Clock& clock_;
  AccessTokenVerifier verifier_;
  RateLimiter limiter_;
};

Authenticator::Authenticator(const Directory& directory, const Clock& clock, AuthenticatorOptions options)
    : state_(std::make_unique<State>(directory, clock, options)) {}
Authenticator::~Authenticator() = default;

std::variant<AuthenticatedPrincipal, Refusal> Authenticator::Authenticate(const http::Request& request,
                                                                          const http::RequestContext& context,
                                                                          const std::string& required_scope) {
  return state_->Authenticate(request, context, required_scope);
}

}  // namespace skms::auth
