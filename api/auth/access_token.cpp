#include "api/auth/access_token.h"

#include <cjose/cjose.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "api/http/json.h"
#include "base/encoding.h"
#include "base/log.h"

namespace skms::auth {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxTokenBytes = 8192;
constexpr std::size_t kMostCandidates = 16;
constexpr std::int64_t kYear9999 = 253'402'300'799;

struct ParsedIssuer {
  std::string issuer;
  std::string audience;
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

/// A string member, or nullopt when it is absent or something else.
std::optional<std::string> StringMember(const json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string()) return std::nullopt;
  return member->get<std::string>();
}

/// NumericDate: a whole number up to the year 9999.
std::optional<std::int64_t> DateMember(const json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_number_integer()) return std::nullopt;
  if (member->is_number_unsigned() && member->get<std::uint64_t>() > static_cast<std::uint64_t>(kYear9999)) {
    return std::nullopt;
  }
  const auto date = member->get<std::int64_t>();
  if (date < 0 || date > kYear9999) return std::nullopt;
  return date;
}

bool AudienceHolds(const json& payload, const std::string& wanted) {
  const auto audience = payload.find("aud");
  if (audience == payload.end()) return false;
  if (audience->is_string()) return audience->get<std::string>() == wanted;
  return audience->is_array() && std::any_of(audience->begin(), audience->end(), [&](const json& one) {
           return one.is_string() && one == wanted;
         });
}

std::vector<std::string> SplitScope(const std::string& scope) {
  std::vector<std::string> words;
  for (std::size_t from = 0; from < scope.size();) {
    const std::size_t blank = std::min(scope.find(' ', from), scope.size());
    if (blank > from) words.push_back(scope.substr(from, blank - from));
    from = blank + 1;
  }
  return words;
}

bool SignatureFits(std::string_view token, const VerificationKey& key) {
  cjose_err error{};
  cjose_jws_t* jws = cjose_jws_import(token.data(), token.size(), &error);
  if (jws == nullptr) return false;
  const bool fits = cjose_jws_verify(jws, key.jwk.get(), &error);
  cjose_jws_release(jws);
  return fits;
}

TokenRefusal Refused(const char* reason) { return {reason}; }

}  // namespace

class AccessTokenVerifier::State {
 public:
  State(const Directory& directory, const Clock& clock, std::int64_t leeway)
      : directory_(directory), clock_(clock), leeway_(leeway) {}

  std::variant<AccessTokenClaims, TokenRefusal> Verify(std::string_view token) {
    const auto parts = Split(token);
    if (!parts) return Refused("token-malformed");
    const auto alg = StringMember(parts->header, "alg");
    if (!alg || (*alg != "RS256" && *alg != "ES256")) return Refused("token-algorithm");
    if (parts->header.contains("crit")) return Refused("token-malformed");
    if (!TypeFits(parts->header)) return Refused("token-malformed");

    const auto issuers = Issuers();
    const std::vector<Candidate> candidates = Candidates(*issuers, parts->header, *alg);
    if (candidates.empty()) return Refused("token-key-unknown");
    const auto signer = std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& candidate) {
      return SignatureFits(token, *candidate.key);
    });
    if (signer == candidates.end()) return Refused("token-signature");
    return CheckClaims(parts->payload, *signer->issuer);
  }

 private:
  static bool TypeFits(const json& header) {
    if (!header.contains("typ")) return true;
    const auto type = StringMember(header, "typ");
    return type && (*type == "JWT" || *type == "at+jwt" || *type == "application/at+jwt");
  }

  static std::vector<Candidate> Candidates(const std::vector<ParsedIssuer>& issuers, const json& header,
                                           const std::string& alg) {
    const auto kid = StringMember(header, "kid");
    std::vector<Candidate> found;
    if (header.contains("kid") && !kid) return found;
    for (const ParsedIssuer& issuer : issuers) {
      for (const VerificationKey& key : issuer.keys) {
        if (key.alg == alg && (!kid || key.kid == *kid) && found.size() < kMostCandidates) {
          found.push_back({&issuer, &key});
        }
      }
    }
    return found;
  }

  std::variant<AccessTokenClaims, TokenRefusal> CheckClaims(const json& payload,
                                                            const ParsedIssuer& issuer) const {
    const std::int64_t now = clock_.NowSeconds();
    const auto expiry = DateMember(payload, "exp");
    if (!expiry) return Refused("token-claims");
    if (now >= *expiry + leeway_) return Refused("token-expired");
    for (const char* name : {"nbf", "iat"}) {
      if (!payload.contains(name)) continue;
      const auto date = DateMember(payload, name);
      if (!date) return Refused("token-claims");
      if (*date > now + leeway_) return Refused("token-not-yet-valid");
    }
    if (StringMember(payload, "iss") != issuer.issuer) return Refused("token-issuer");
    if (!AudienceHolds(payload, issuer.audience)) return Refused("token-audience");
    const auto client_id = StringMember(payload, "client_id");
    const auto scope = StringMember(payload, "scope");
    if (!client_id || client_id->empty() || !scope) return Refused("token-claims");
    AccessTokenClaims claims{*client_id, SplitScope(*scope), ""};
    if (payload.contains("cnf")) {
      const json& confirmation = payload["cnf"];
      const auto thumbprint =
          confirmation.is_object() ? StringMember(confirmation, "x5t#S256") : std::nullopt;
      // A binding that we cannot check must not count as none.
      if (!thumbprint || thumbprint->empty()) return Refused("token-claims");
      claims.certificate_sha256 = *thumbprint;
    }
    return claims;
  }

  std::shared_ptr<const std::vector<ParsedIssuer>> Issuers() {
    const std::uint64_t version = directory_.IssuersVersion();
    const std::lock_guard lock(mutex_);
    if (!issuers_ || version_ != version) {
      auto parsed = std::make_shared<std::vector<ParsedIssuer>>();
      for (const DirectoryIssuer& entry : directory_.Issuers()) {
        auto keys = ParseJwks(entry.jwks);
        if (keys.has_error()) {
          LogError("issuer '" + entry.id + "' is not trusted: " + keys.error().detail);
          continue;
        }
        parsed->push_back({entry.issuer, entry.audience, std::move(keys).value()});
      }
      issuers_ = std::move(parsed);
      version_ = version;
    }
    return issuers_;
  }

  const Directory& directory_;
  const Clock& clock_;
  const std::int64_t leeway_;
  std::mutex mutex_;
  std::shared_ptr<const std::vector<ParsedIssuer>> issuers_;
  std::uint64_t version_ = 0;
};

AccessTokenVerifier::AccessTokenVerifier(const Directory& directory, const Clock& clock,
                                         std::int64_t leeway_seconds)
    : state_(std::make_unique<State>(directory, clock, std::clamp<std::int64_t>(leeway_seconds, 0, 30))) {}
AccessTokenVerifier::~AccessTokenVerifier() = default;

std::variant<AccessTokenClaims, TokenRefusal> AccessTokenVerifier::Verify(std::string_view token) {
  return state_->Verify(token);
}

}  // namespace skms::auth
