// JWS access tokens (RFC 7515, 7519). An input is a token as it comes, or, where its first line is a signer's
// name, a header and a payload that the issuer itself signs: so that what stands behind the signature is
// reached, too.
#include "api/auth/access_token.h"

#include <nlohmann/json.hpp>
#include <set>
#include <variant>

#include "base/encoding.h"
#include "tests/fuzz/credentials.h"
#include "tests/fuzz/property.h"
#include "tests/support/manual_clock.h"

namespace skms::fuzz {
namespace {

using auth::AccessTokenClaims;
using auth::TokenRefusal;
using nlohmann::json;

constexpr std::int64_t kNow = 1'800'000'000;
constexpr std::int64_t kLeeway = 30;

const std::set<std::string> kReasons = {"token-malformed", "token-algorithm", "token-key-unknown",
                                        "token-signature", "token-expired",   "token-not-yet-valid",
                                        "token-issuer",    "token-audience",  "token-claims"};

/// What the issuer has ever signed that a corpus holds: header and payload.
const std::pair<const char*, const char*> kIssued[] = {
    {R"({"alg":"ES256","kid":"e"})",
     R"({"iss":"https://sim-s","aud":"skms","client_id":"c","scope":"ss-kir","exp":1900000000})"},
    {R"({"alg":"RS256","kid":"r","typ":"at+jwt"})",
     R"({"iss":"https://sim-s","aud":["skms"],"client_id":"c","scope":"skm","exp":1900000000})"}};

class OneIssuer final : public auth::Directory {
 public:
  std::optional<auth::DirectoryPrincipal> FindPrincipal(ByteView /*spki*/) const override {
    return std::nullopt;
  }
  std::vector<auth::DirectoryIssuer> Issuers() const override {
    return {{"sim-s",
             "https://sim-s",
             "skms",
             IssuerJwks(),
             {"services", "user", "ue", "client", "SKeyProv", {"true", "list", "string"}}}};
  }
  std::uint64_t IssuersVersion() const override { return 1; }
  bool RefreshKeys(const std::string& /*issuer_id*/) override { return false; }
};

using Verdict = std::variant<AccessTokenClaims, TokenRefusal>;

Verdict Verify(std::string_view token) {
  static const test::ManualClock clock(kNow);
  static OneIssuer issuers;
  static auth::AccessTokenVerifier verifier(issuers, clock, kLeeway);
  Verdict verdict = verifier.Verify(token);
  if (const auto* refusal = std::get_if<TokenRefusal>(&verdict))
    Require(kReasons.count(refusal->reason) == 1, "a refusal has one of its reasons", refusal->reason);
  return verdict;
}

bool Accepted(const Verdict& verdict) { return std::holds_alternative<AccessTokenClaims>(verdict); }

void CheckClaims(const AccessTokenClaims& claims, std::string_view payload_text) {
  const json payload = json::parse(payload_text);
  const auto is = [&](const char* name, const std::string& value) {
    return payload.contains(name) && payload[name] == json(value);
  };
  Require(is("iss", "https://sim-s"), "the issuer is the one whose key verified", payload_text);
  Require(payload["exp"].get<std::int64_t>() + kLeeway > kNow, "a token that has run out is refused",
          payload_text);
  for (const char* name : {"nbf", "iat"}) {
    if (payload.contains(name))
      Require(payload[name].get<std::int64_t>() <= kNow + kLeeway, "a token is not good before its time",
              payload_text);
  }
  const json& audience = payload["aud"];
  Require(audience == "skms" || std::find(audience.begin(), audience.end(), "skms") != audience.end(),
          "the token is for us", payload_text);
  Require(!claims.client_id.empty() && is("client_id", claims.client_id), "it names its client",
          payload_text);
  Require(payload.contains("cnf") == !(claims.certificate_sha256.empty() && claims.key_thumbprint.empty()),
          "a binding is not lost", payload_text);
  Require(payload.contains("services") == claims.services.has_value(), "a list of services is not lost",
          payload_text);
  for (const auto& [name, value] :
       {std::pair("user", &claims.user), std::pair("ue", &claims.ue), std::pair("client", &claims.client)})
    Require(payload.contains(name) ? is(name, *value) : value->empty(), "identities are those of the token",
            payload_text);
  Require(!claims.provisioning.all || payload["SKeyProv"] == true, "nothing but true is for every service",
          payload_text);
}

void CheckSigned(std::string_view input, EVP_PKEY* key) {
  const std::string_view header = TakeUntil(input, '\n');
  const std::string token = Signed(header, input, key);
  const Verdict verdict = Verify(token);
  if (!Accepted(verdict)) return;
  const json said = json::parse(header);
  Require(said["alg"] == (key == EcKey() ? "ES256" : "RS256"), "the algorithm is the key's", header);
  Require(!said.contains("crit"), "nothing critical is passed over", header);
  CheckClaims(std::get<AccessTokenClaims>(verdict), input);
  // Any other octet of it would be another token, which nobody signed.
  const std::size_t at = token.size() / 2 + input.size() % (token.size() / 2);
  std::string changed = token;
  changed[at] = changed[at] == 'A' ? 'B' : 'A';
  if (changed[at] != token[at]) Require(!Accepted(Verify(changed)), "a changed token is refused", changed);
}

void CheckAsItComes(std::string_view token) {
  if (!Accepted(Verify(token))) return;
  std::set<std::string> issued;
  for (const auto& [header, payload] : kIssued)
    issued.insert(ToBase64Url(AsBytes(header)) + "." + ToBase64Url(AsBytes(payload)));
  Require(issued.count(std::string(token.substr(0, token.rfind('.')))) == 1,
          "what is accepted is what the issuer signed", token);
}

void CheckAccessToken(std::string_view input) {
  std::string_view rest = input;
  const std::string_view signer = TakeUntil(rest, '\n');
  if (signer == "ES256") return CheckSigned(rest, EcKey());
  if (signer == "RS256") return CheckSigned(rest, RsaKey());
  CheckAsItComes(input);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(access_token, skms::fuzz::CheckAccessToken)
