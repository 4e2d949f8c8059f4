// Recipients and token issuers as JSON.
#include <nlohmann/json.hpp>
#include <utility>

#include "api/admin/entry_json.h"
#include "api/auth/authenticator.h"
#include "api/auth/certificate.h"
#include "base/date_time.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "hsm/openssl_agreement.h"

namespace skms::admin {

using nlohmann::json;
using namespace keystore;  // NOLINT(google-build-using-namespace): every name here is one of its entries

json ToJson(const RecipientEntry& recipient) {
  json out{{"id", recipient.id.value()}};
  if (!recipient.ue) {
    out["principal"] = recipient.principal.value();
  } else {
    out[recipient.ue->kind == TargetKind::kUser ? "userId" : "ueId"] = recipient.ue->id;
  }
  if (const auto* rsa = std::get_if<hsm::RsaRecipient>(&recipient.key)) {
    out["kind"] = "rsa";
    out["spkiSha256"] = ToBase64Url(Sha256(rsa->spki));
  } else if (const auto* ec = std::get_if<hsm::EcRecipient>(&recipient.key)) {
    out["kind"] = "ec";
    const auto key = hsm::EcPublicKeyFromSpki(ec->spki);
    if (key.has_value()) out["curve"] = hsm::NameOf(key.value().curve);
    out["spkiSha256"] = ToBase64Url(Sha256(ec->spki));
  } else {
    out["kind"] = "transport-key";
  }
  return out;
}

json ToJson(const Issuer& issuer, const KeyFetch& fetch) {
  const TokenProfile& profile = issuer.profile;
  json out{{"id", issuer.id.value()},
           {"issuer", issuer.issuer},
           {"audience", issuer.audience},
           {"jwks",
            issuer.jwks.empty() ? json{{"keys", json::array()}} : json::parse(issuer.jwks, nullptr, false)},
           {"servicesClaim", profile.services_claim},
           {"userClaim", profile.user_claim},
           {"ueClaim", profile.ue_claim},
           {"clientClaim", profile.client_claim},
           {"provisioningClaim", profile.provisioning_claim},
           {"provisioningValues", profile.provisioning_values}};
  if (issuer.jwks_uri.empty()) return out;
  out["jwksUri"] = issuer.jwks_uri;
  if (!issuer.jwks_ca.empty()) out["jwksCa"] = issuer.jwks_ca;
  if (fetch.fetched > 0) out["fetched"] = FormatUtc(fetch.fetched);
  if (!fetch.error.empty()) out["fetchError"] = fetch.error;
  return out;
}

Result<RecipientRequest> RecipientFromJson(const json& body, InvalidParams& invalid) {
  BodyReader reader(body, invalid);
  RecipientRequest request;
  request.id = RecipientId(reader.Text("id", true));
  request.principal = PrincipalId(reader.Text("principal", false));
  const std::string user = reader.Text("userId", false);
  const std::string ue = reader.Text("ueId", false);
  if (int{reader.Has("principal")} + int{reader.Has("userId")} + int{reader.Has("ueId")} != 1)
    reader.Wrong("principal", "give exactly one of 'principal', 'userId' and 'ueId'");
  if (reader.Has("userId")) request.ue = UeIdentity{TargetKind::kUser, user};
  if (reader.Has("ueId")) request.ue = UeIdentity{TargetKind::kUe, ue};
  request.public_key = reader.Octets("publicKey", false);
  request.transport_key = reader.Octets("transportKey", false);
  if (reader.Has("publicKey") == reader.Has("transportKey"))
    reader.Wrong("publicKey", "give exactly one of 'publicKey' and 'transportKey'");
  SKMS_TRYV(reader.Finish());
  return request;
}

namespace {

void ReadKeySource(BodyReader& reader, Issuer& issuer) {
  issuer.jwks_uri = reader.Text("jwksUri", false);
  issuer.jwks_ca = reader.Text("jwksCa", false);
  if (reader.Has("jwks") == reader.Has("jwksUri")) {
    reader.Wrong("jwks", "give exactly one of 'jwks' and 'jwksUri'");
    return;
  }
  if (reader.Has("jwks")) {
    issuer.jwks = reader.Object("jwks");
    if (issuer.jwks.empty()) return;
    if (const Status usable = auth::CheckJwks(issuer.jwks); usable.has_error())
      reader.Wrong("jwks", usable.error().detail);
    return;
  }
  constexpr std::string_view kScheme = "https://";
  if (issuer.jwks_uri.rfind(kScheme, 0) != 0 || issuer.jwks_uri.size() == kScheme.size() ||
      issuer.jwks_uri.find_first_of(" \t\r\n@#") != std::string::npos)
    reader.Wrong("jwksUri", "must be an https URI without user name and fragment");
  if (!issuer.jwks_ca.empty() && !auth::IsCertificateBundle(issuer.jwks_ca))
    reader.Wrong("jwksCa", "must be one or more certificates in PEM and nothing else");
}

}  // namespace

Result<Issuer> IssuerFromJson(const json& body, InvalidParams& invalid) {
  BodyReader reader(body, invalid);
  Issuer issuer;
  issuer.id = IssuerId(reader.Text("id", true));
  issuer.issuer = reader.Text("issuer", true);
  issuer.audience = reader.Text("audience", true);
  ReadKeySource(reader, issuer);
  TokenProfile& profile = issuer.profile;
  profile.services_claim = reader.Text("servicesClaim", false);
  profile.user_claim = reader.Text("userClaim", false);
  profile.ue_claim = reader.Text("ueClaim", false);
  profile.client_claim = reader.Text("clientClaim", false);
  profile.provisioning_claim = reader.Text("provisioningClaim", false, profile.provisioning_claim);
  profile.provisioning_values = reader.Texts("provisioningValues", profile.provisioning_values);
  SKMS_TRYV(reader.Finish());
  return issuer;
}

}  // namespace skms::admin
