// Directory entries and key versions as the admin API's JSON.
//
// No key material in either direction, but for a transport key encrypted to the token. Pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "api/admin/admin_api.h"
#include "api/admin/body_reader.h"
#include "hsm/crypto_module.h"
#include "keystore/key_store.h"

namespace skms::admin {

/// What to rotate, or to tell what rotating it would do.
struct RotationOrder {
  keystore::Selector selector;
  bool dry_run = false;
};

nlohmann::json ToJson(const keystore::Service& service);
nlohmann::json ToJson(const keystore::Principal& principal);
nlohmann::json ToJson(const keystore::RecipientEntry& recipient);
nlohmann::json ToJson(const keystore::Issuer& issuer, const KeyFetch& fetch);
nlohmann::json ToJson(const keystore::KeyVersion& version);
nlohmann::json ToJson(const keystore::RotationPreview& preview);
nlohmann::json ToJson(const keystore::Payload& payload);
nlohmann::json ToJson(const keystore::Subscription& subscription);
nlohmann::json ToJson(const keystore::GroupRecord& group);     ///< without its members
nlohmann::json ToJson(const hsm::Capabilities& capabilities);  ///< a list of rows
/// [{"quirk", "capability", "measure"}]: what departs from PKCS#11, the row that finds it, what is done.
nlohmann::json QuirksToJson(const hsm::Capabilities& capabilities);
/// [{"profile", "passes", "failed": rows}] for lab, standard and strict.
nlohmann::json ProfilesToJson(const hsm::Capabilities& capabilities);
nlohmann::json ToJson(const hsm::TokenInfo& token);
nlohmann::json ToJson(const hsm::TokenHealth& health);
nlohmann::json ToJson(const hsm::CryptoModule::SessionUse& sessions);
nlohmann::json ToJson(const hsm::CryptoModule::StrictView& strict);

// Errors: kInvalidArgument naming the first wrong member; `invalid` names all.
Result<keystore::Service> ServiceFromJson(const nlohmann::json& body, InvalidParams& invalid);
/// {"id", "certificate": base64url DER, "clientId"?, "role"?}
Result<keystore::Principal> PrincipalFromJson(const nlohmann::json& body, InvalidParams& invalid);
/// {"id", one of "principal", "userId", "ueId", and one of "publicKey": base64url SPKI, "transportKey":
/// base64url OAEP block}
struct RecipientRequest {
  keystore::RecipientId id;
  keystore::PrincipalId principal;
  std::optional<keystore::UeIdentity> ue;
  Bytes public_key;
  Bytes transport_key;
};
Result<RecipientRequest> RecipientFromJson(const nlohmann::json& body, InvalidParams& invalid);
/// {"id", "issuer", "audience", one of "jwks": JWK Set and "jwksUri", "jwksCa"?, "servicesClaim"?,
/// "userClaim"?, "ueClaim"?, "clientClaim"?, "provisioningClaim"?, "provisioningValues"?}; the set is checked
/// by auth::CheckJwks.
Result<keystore::Issuer> IssuerFromJson(const nlohmann::json& body, InvalidParams& invalid);
/// {"service", "userId"? | "ueId"? | "clientId"? | "groupId"?, "dryRun"?}
Result<RotationOrder> RotationOrderFromJson(const nlohmann::json& body, InvalidParams& invalid);
/// {"action", "reason", "rotate"?, "dryRun"?}
Result<keystore::KeyChange> KeyChangeFromJson(const nlohmann::json& body, InvalidParams& invalid);
/// "service=&state=&expiringBefore=&targetPrefix=&after=&limit=", each at most once. The errors name the
/// parameter.
Result<keystore::KeyListQuery> KeyQueryFromText(const std::string& query, InvalidParams& invalid);

/// "after=&limit=" of a list that is paged by its entries' ids.
struct Page {
  std::string after;
  std::uint32_t limit = 100;  ///< 1 to 1000
};
/// "service=&after=&limit="
struct PayloadQuery {
  std::string service;  ///< empty: any
  Page page;
};
Result<PayloadQuery> PayloadQueryFromText(const std::string& query, InvalidParams& invalid);
Result<Page> PageFromText(const std::string& query, InvalidParams& invalid);

}  // namespace skms::admin
