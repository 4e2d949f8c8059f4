#include "api/auth/jwks.h"

#include <cjose/cjose.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "api/auth/authenticator.h"
#include "api/http/json.h"
#include "base/encoding.h"

namespace skms::auth {
namespace {

using nlohmann::json;

constexpr std::size_t kSmallestModulus = 256;  // bytes: RSA-2048
constexpr std::size_t kMostKeys = 64;

std::string TextOrEmpty(const json& object, const char* name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

/// The one algorithm for a key, empty for a key that is not for us.
std::string AlgorithmOf(const json& key) {
  const std::string kty = TextOrEmpty(key, "kty");
  const std::string use = TextOrEmpty(key, "use");
  const std::string alg = TextOrEmpty(key, "alg");
  if (!use.empty() && use != "sig") return "";
  std::string fitting;
  if (kty == "RSA") fitting = "RS256";
  if (kty == "EC" && TextOrEmpty(key, "crv") == "P-256") fitting = "ES256";
  return alg.empty() || alg == fitting ? fitting : "";
}

Status CheckKey(const json& key) {
  constexpr std::array<const char*, 7> kPrivate = {"d", "p", "q", "dp", "dq", "qi", "k"};
  if (std::any_of(kPrivate.begin(), kPrivate.end(), [&](const char* name) { return key.contains(name); })) {
    return InvalidArgument("the JWK Set holds a private or symmetric key; give the public keys only");
  }
  if (TextOrEmpty(key, "kty") == "RSA") {
    const auto modulus = FromBase64Url(TextOrEmpty(key, "n"));
    if (!modulus || modulus->size() < kSmallestModulus) {
      return InvalidArgument("the JWK Set holds an RSA key of less than 2048 bits");
    }
  }
  return Ok();
}

/// nullptr: it is none. cjose ends the process for some octets that are no base64url: it gets to see none.
std::shared_ptr<_cjose_jwk_int> Import(const json& key) {
  const bool rsa = TextOrEmpty(key, "kty") == "RSA";
  for (const char* number : {rsa ? "n" : "x", rsa ? "e" : "y"}) {
    const auto octets = FromBase64Url(TextOrEmpty(key, number));
    if (!octets || octets->empty()) return nullptr;
  }
  const std::string text = key.dump();
  cjose_err error{};
  return {cjose_jwk_import(text.c_str(), text.size(), &error),
          [](cjose_jwk_t* jwk) { cjose_jwk_release(jwk); }};
}

}  // namespace

Result<std::vector<VerificationKey>> ParseJwks(const std::string& jwks) {
  const auto parsed = http::ParseJson(jwks);
  if (parsed.has_error()) return InvalidArgument("the JWK Set is " + parsed.error().detail);
  const json& set = parsed.value();
  if (!set.is_object() || !set.contains("keys") || !set["keys"].is_array() ||
      set["keys"].size() > kMostKeys) {
    return InvalidArgument("a JWK Set is an object with up to 64 'keys'");
  }
  std::vector<VerificationKey> keys;
  for (const json& key : set["keys"]) {
    if (!key.is_object()) return InvalidArgument("a key of the JWK Set is no object");
    SKMS_TRYV(CheckKey(key));
    const std::string alg = AlgorithmOf(key);
    if (alg.empty()) continue;
    auto jwk = Import(key);
    if (!jwk) return InvalidArgument("a key of the JWK Set cannot be read");
    keys.push_back({TextOrEmpty(key, "kid"), alg, std::move(jwk)});
  }
  if (keys.empty()) return InvalidArgument("the JWK Set holds no RSA or P-256 key for verification");
  return keys;
}

Status CheckJwks(const std::string& jwks) {
  SKMS_TRYV(ParseJwks(jwks));
  return Ok();
}

}  // namespace skms::auth
