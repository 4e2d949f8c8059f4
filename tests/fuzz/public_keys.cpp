// Public keys that others send: JWK Sets of issuers, JWKs of UEs, SubjectPublicKeyInfo of clients.
#include <nlohmann/json.hpp>

#include "api/auth/authenticator.h"
#include "api/http/json.h"
#include "api/seal/public_jwk.h"
#include "base/encoding.h"
#include "hsm/wrapped_key.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

using nlohmann::json;

void CheckSet(const std::string& text) {
  const Status taken = auth::CheckJwks(text);
  if (taken.has_error()) {
    Require(taken.error().code == ErrorCode::kInvalidArgument && !taken.error().detail.empty(),
            "a refused set says why", taken.error().detail);
    return;
  }
  const json set = json::parse(text);
  Require(!set["keys"].empty() && set["keys"].size() <= 64, "a set has 1 to 64 keys", text);
  for (const json& key : set["keys"]) {
    for (const char* secret : {"d", "p", "q", "dp", "dq", "qi", "k"})
      Require(!key.contains(secret), "no private member is taken in", secret);
  }
}

void CheckRecipient(const json& jwk) {
  const auto key = seal::ReadRecipientJwk(jwk);
  if (key.has_error()) {
    Require(key.error().code == ErrorCode::kInvalidArgument && !key.error().detail.empty(),
            "a refused key says why", key.error().detail);
    return;
  }
  const auto again = seal::PublicJwk(key.value().spki);
  Require(again.has_value(), "a key that is taken can be named", ToHex(key.value().spki));
  for (const auto& [name, value] : again.value().items())
    Require(jwk.contains(name) && jwk[name] == value, "its members are those that were sent", name);
  const auto reread = seal::ReadRecipientJwk(again.value());
  Require(reread.has_value() && reread.value().spki == key.value().spki &&
              reread.value().thumbprint == key.value().thumbprint,
          "one key has one thumbprint", key.value().thumbprint);
  const bool ec = jwk["kty"] == "EC";
  Require(std::holds_alternative<hsm::EcRecipient>(hsm::PublicKeyRecipient(key.value().spki)) == ec,
          "its kind is seen in its SPKI", ToHex(key.value().spki));
}

void CheckSpki(ByteView spki) {
  const auto jwk = seal::PublicJwk(spki);
  if (jwk.has_error()) return;
  const auto read = seal::ReadRecipientJwk(jwk.value());
  // Discovery names keys of any size, recipients have 2048 to 8192 bits.
  if (read.has_error())
    Require(jwk.value()["kty"] == "RSA", "an EC key that is named can be read", jwk.value().dump());
}

void CheckPublicKeys(std::string_view input) {
  CheckSet(std::string(input));
  const auto parsed = http::ParseJson(input);
  if (parsed.has_value()) CheckRecipient(parsed.value());
  if (const auto octets = FromBase64Url(input)) CheckSpki(*octets);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(public_keys, skms::fuzz::CheckPublicKeys)
