#include "api/auth/token_claims.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace skms::auth {
namespace {

using nlohmann::json;

constexpr std::int64_t kYear9999 = 253'402'300'799;
constexpr std::size_t kMostServices = 1000;

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

std::vector<std::string> AtBlanks(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t blank = std::min(text.find(' ', from), text.size());
    if (blank > from) words.push_back(text.substr(from, blank - from));
    from = blank + 1;
  }
  return words;
}

/// The strings of a list; nullopt: it is none, or holds something else.
std::optional<std::vector<std::string>> Strings(const json& list) {
  if (!list.is_array() || list.size() > kMostServices) return std::nullopt;
  std::vector<std::string> words;
  for (const json& one : list) {
    if (!one.is_string()) return std::nullopt;
    words.push_back(one.get<std::string>());
  }
  return words;
}

bool ReadBinding(const json& payload, AccessTokenClaims& claims) {
  if (!payload.contains("cnf")) return true;
  const json& confirmation = payload["cnf"];
  if (!confirmation.is_object()) return false;
  for (const auto& [name, slot] :
       {std::pair("x5t#S256", &claims.certificate_sha256), std::pair("jkt", &claims.key_thumbprint)}) {
    if (!confirmation.contains(name)) continue;
    const auto thumbprint = StringMember(confirmation, name);
    if (!thumbprint || thumbprint->empty()) return false;
    *slot = *thumbprint;
  }
  // A binding that we cannot check must not count as none.
  return !claims.certificate_sha256.empty() || !claims.key_thumbprint.empty();
}

bool ReadServices(const json& payload, const std::string& claim, AccessTokenClaims& claims) {
  if (claim.empty()) return true;
  const auto member = payload.find(claim);
  if (member == payload.end()) return true;
  if (member->is_string()) {
    claims.services = AtBlanks(member->get<std::string>());
    return true;
  }
  claims.services = Strings(*member);
  return claims.services.has_value();
}

bool ReadIdentity(const json& payload, const std::string& claim, std::string& identity) {
  if (claim.empty()) return true;
  const auto member = payload.find(claim);
  if (member == payload.end()) return true;
  if (!member->is_string() || member->get_ref<const std::string&>().empty()) return false;
  identity = member->get<std::string>();
  return true;
}

/// Whatever is not a value that counts grants nothing.
ProvisioningGrant ReadProvisioning(const json& payload, const TokenProfile& profile) {
  ProvisioningGrant grant;
  const auto member = payload.find(profile.provisioning_claim);
  if (profile.provisioning_claim.empty() || member == payload.end()) return grant;
  for (const std::string& form : profile.provisioning_values) {
    if (form == "true" && member->is_boolean()) grant.all = member->get<bool>();
    if (form == "list" && member->is_array()) grant.services = Strings(*member).value_or(grant.services);
    if (form == "string" && member->is_string()) grant.services = AtBlanks(member->get<std::string>());
  }
  return grant;
}

}  // namespace

std::optional<std::string> StringMember(const json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string()) return std::nullopt;
  return member->get<std::string>();
}

bool ValidAt(const AccessTokenClaims& claims, std::int64_t now, std::int64_t leeway) {
  return now < claims.expiry + leeway && claims.not_before <= now + leeway;
}

std::variant<AccessTokenClaims, TokenRefusal> ReadClaims(const json& payload, const DirectoryIssuer& issuer,
                                                         std::int64_t now, std::int64_t leeway) {
  const auto expiry = DateMember(payload, "exp");
  if (!expiry) return TokenRefusal{"token-claims"};
  if (now >= *expiry + leeway) return TokenRefusal{"token-expired"};
  std::int64_t not_before = 0;
  for (const char* name : {"nbf", "iat"}) {
    if (!payload.contains(name)) continue;
    const auto date = DateMember(payload, name);
    if (!date) return TokenRefusal{"token-claims"};
    if (*date > now + leeway) return TokenRefusal{"token-not-yet-valid"};
    not_before = std::max(not_before, *date);
  }
  if (StringMember(payload, "iss") != issuer.issuer) return TokenRefusal{"token-issuer"};
  if (!AudienceHolds(payload, issuer.audience)) return TokenRefusal{"token-audience"};
  const auto client_id = StringMember(payload, "client_id");
  const auto scope = StringMember(payload, "scope");
  if (!client_id || client_id->empty() || !scope) return TokenRefusal{"token-claims"};
  AccessTokenClaims claims;
  claims.issuer_id = issuer.id;
  claims.client_id = *client_id;
  claims.scopes = AtBlanks(*scope);
  claims.not_before = not_before;
  claims.expiry = *expiry;
  const TokenProfile& profile = issuer.profile;
  const bool readable = ReadBinding(payload, claims) &&
                        ReadServices(payload, profile.services_claim, claims) &&
                        ReadIdentity(payload, profile.user_claim, claims.user) &&
                        ReadIdentity(payload, profile.ue_claim, claims.ue) &&
                        ReadIdentity(payload, profile.client_claim, claims.client);
  if (!readable) return TokenRefusal{"token-claims"};
  claims.provisioning = ReadProvisioning(payload, profile);
  return claims;
}

}  // namespace skms::auth
