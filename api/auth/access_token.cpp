#include "api/auth/access_token.h"

#include <cjose/cjose.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "api/auth/jwks.h"
#include "api/http/json.h"
#include "base/bounded_cache.h"
#include "base/encoding.h"
#include "base/log.h"

namespace skms::auth {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxTokenBytes = 8192;
constexpr std::size_t kMostCandidates = 16;
constexpr std::size_t kMostVerifiedBytes = 8U << 20U;

struct ParsedIssuer {
  DirectoryIssuer entry;  ///< without its JWK Set
  std::vector<VerificationKey> keys;
};

struct Candidate {
  const ParsedIssuer* issuer;
  const VerificationKey* key;
};

/// The three parts of a compact JWS, header and payload decoded; the signature stays with cjose.
struct Parts {
  json header;
  json payload;
};

std::optional<json> DecodePart(std::string_view part) {
  const auto octets = FromBase64Url(part);
  if (!octets) return std::nullopt;
  const std::string text = AsText(*octets);
  auto parsed = http::ParseJson(text, {.max_bytes = kMaxTokenBytes, .max_depth = 8});
  if (parsed.has_error() || !parsed.value().is_object()) return std::nullopt;
  return std::move(parsed).value();
}

std::optional<Parts> Split(std::string_view token) {
  if (token.size() > kMaxTokenBytes || std::count(token.begin(), token.end(), '.') != 2) return std::nullopt;
  const std::size_t first = token.find('.');
  const std::size_t second = token.find('.', first + 1);
  auto header = DecodePart(token.substr(0, first));
  auto payload = DecodePart(token.substr(first + 1, second - first - 1));
  if (!header || !payload || !FromBase64Url(token.substr(second + 1))) return std::nullopt;
  return Parts{std::move(*header), std::move(*payload)};
}

bool SignatureFits(std::string_view token, const VerificationKey& key) {
  cjose_err error{};
  cjose_jws_t* jws = cjose_jws_import(token.data(), token.size(), &error);
  if (jws == nullptr) return false;
  const bool fits = cjose_jws_verify(jws, key.jwk.get(), &error);
  cjose_jws_release(jws);
  return fits;
}

std::size_t BytesOf(const std::vector<std::string>& words) {
  std::size_t bytes = 0;
  for (const std::string& word : words) bytes += sizeof(std::string) + word.size();
  return bytes;
}

/// What they hold beside their own size.
std::size_t BytesOf(const AccessTokenClaims& claims) {
  std::size_t bytes = BytesOf(claims.scopes) + BytesOf(claims.provisioning.services);
  if (claims.services) bytes += BytesOf(*claims.services);
  for (const std::string* text : {&claims.issuer_id, &claims.client_id, &claims.certificate_sha256,
                                  &claims.key_thumbprint, &claims.user, &claims.ue, &claims.client})
    bytes += text->size();
  return bytes;
}

}  // namespace

class AccessTokenVerifier::State {
 public:
  State(Directory& directory, const Clock& clock, std::int64_t leeway)
      : directory_(directory), clock_(clock), leeway_(leeway) {}

  std::variant<AccessTokenClaims, TokenRefusal> Verify(std::string_view token) {
    if (token.size() > kMaxTokenBytes) return TokenRefusal{"token-malformed"};
    const Sha256Digest name = Sha256(AsBytes(token));
    // Before the issuers are read: what changes while the token is verified makes this one stale.
    const std::uint64_t version = directory_.IssuersVersion();
    const auto known = verified_.Find(name);
    if (known && (*known)->version == version && ValidAt((*known)->claims, clock_.NowSeconds(), leeway_))
      return (*known)->claims;
    auto outcome = VerifyAnew(token);
    if (const auto* claims = std::get_if<AccessTokenClaims>(&outcome))
      verified_.Keep(name, std::make_shared<const Verified>(Verified{version, *claims}),
                     sizeof(Verified) + BytesOf(*claims));
    return outcome;
  }

 private:
  struct Verified {
    std::uint64_t version = 0;  ///< of the directory
    AccessTokenClaims claims;
  };

  std::variant<AccessTokenClaims, TokenRefusal> VerifyAnew(std::string_view token) {
    const auto parts = Split(token);
    if (!parts) return TokenRefusal{"token-malformed"};
    const auto alg = StringMember(parts->header, "alg");
    if (!alg || (*alg != "RS256" && *alg != "ES256")) return TokenRefusal{"token-algorithm"};
    if (parts->header.contains("crit")) return TokenRefusal{"token-malformed"};
    if (!TypeFits(parts->header)) return TokenRefusal{"token-malformed"};

    // Whose token it says it is comes first, so that no issuer's keys stand in the way of another's.
    const auto named = StringMember(parts->payload, "iss");
    auto issuers = Issuers();
    std::vector<Candidate> own = Candidates(*issuers, parts->header, *alg, named, true);
    if (own.empty() && RefreshedFor(*issuers, named)) {
      issuers = Issuers();
      own = Candidates(*issuers, parts->header, *alg, named, true);
    }
    const std::vector<Candidate> others = Candidates(*issuers, parts->header, *alg, named, false);
    if (own.empty() && others.empty()) return TokenRefusal{"token-key-unknown"};
    std::optional<TokenRefusal> refusal;
    own.insert(own.end(), others.begin(), others.end());
    for (const Candidate& candidate : own) {
      if (!SignatureFits(token, *candidate.key)) continue;
      auto claims = ReadClaims(parts->payload, candidate.issuer->entry, clock_.NowSeconds(), leeway_);
      if (std::holds_alternative<AccessTokenClaims>(claims)) return claims;
      // One provider may be entered twice, with two audiences.
      if (!refusal) refusal = std::get<TokenRefusal>(claims);
    }
    return refusal.value_or(TokenRefusal{"token-signature"});
  }

  static bool TypeFits(const json& header) {
    if (!header.contains("typ")) return true;
    const auto type = StringMember(header, "typ");
    return type && (*type == "JWT" || *type == "at+jwt" || *type == "application/at+jwt");
  }

  static std::vector<Candidate> Candidates(const std::vector<ParsedIssuer>& issuers, const json& header,
                                           const std::string& alg, const std::optional<std::string>& named,
                                           bool of_named) {
    const auto kid = StringMember(header, "kid");
    std::vector<Candidate> found;
    if (header.contains("kid") && !kid) return found;
    for (const ParsedIssuer& issuer : issuers) {
      if ((issuer.entry.issuer == named) != of_named) continue;
      for (const VerificationKey& key : issuer.keys) {
        if (key.alg == alg && (!kid || key.kid == *kid) && found.size() < kMostCandidates) {
          found.push_back({&issuer, &key});
        }
      }
    }
    return found;
  }

  /// Newer keys of who the token says has made it. That word is not verified: the directory bounds how often.
  bool RefreshedFor(const std::vector<ParsedIssuer>& issuers, const std::optional<std::string>& named) {
    bool refreshed = false;
    for (const ParsedIssuer& issuer : issuers) {
      if (issuer.entry.issuer == named) refreshed = directory_.RefreshKeys(issuer.entry.id) || refreshed;
    }
    return refreshed;
  }

  std::shared_ptr<const std::vector<ParsedIssuer>> Issuers() {
    const std::uint64_t version = directory_.IssuersVersion();
    const std::lock_guard lock(mutex_);
    if (!issuers_ || version_ != version) {
      auto parsed = std::make_shared<std::vector<ParsedIssuer>>();
      for (DirectoryIssuer& entry : directory_.Issuers()) {
        std::vector<VerificationKey> none;  // not fetched yet
        auto keys = entry.jwks.empty() ? Result<std::vector<VerificationKey>>(none) : ParseJwks(entry.jwks);
        if (keys.has_error()) {
          LogError("issuer '" + entry.id + "' is not trusted: " + keys.error().detail);
          continue;
        }
        entry.jwks.clear();
        parsed->push_back({std::move(entry), std::move(keys).value()});
      }
      issuers_ = std::move(parsed);
      version_ = version;
    }
    return issuers_;
  }

  Directory& directory_;
  const Clock& clock_;
  const std::int64_t leeway_;
  std::mutex mutex_;
  std::shared_ptr<const std::vector<ParsedIssuer>> issuers_;
  std::uint64_t version_ = 0;
  BoundedCache<std::shared_ptr<const Verified>> verified_{kMostVerifiedBytes};
};

AccessTokenVerifier::AccessTokenVerifier(Directory& directory, const Clock& clock,
                                         std::int64_t leeway_seconds)
    : state_(std::make_unique<State>(directory, clock, std::clamp<std::int64_t>(leeway_seconds, 0, 30))) {}
AccessTokenVerifier::~AccessTokenVerifier() = default;

std::variant<AccessTokenClaims, TokenRefusal> AccessTokenVerifier::Verify(std::string_view token) {
  return state_->Verify(token);
}

}  // namespace skms::auth
