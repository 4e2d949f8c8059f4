// What administrators enter: services with their policy, principals, recipients, token issuers.
//
// Plain values. Every stored row carries a MAC by the token over all of its fields, checked when it is read:
// whoever can write the database cannot make himself a reader, a recipient or an issuer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "hsm/wrapped_key.h"
#include "keystore/identifiers.h"

namespace skms::keystore {

enum class Delivery {
  kWrapped,  ///< to the recipient's key, inside the token (default)
  kTls,      ///< plaintext inside TLS: the process sees the key
};
std::string_view Name(Delivery delivery);  ///< "wrapped", "tls"
Result<Delivery> ParseDelivery(std::string_view name);

// Whom a service's keys may be wrapped to, for the rest of their life: "any", "trusted".
using hsm::Recipients;
std::string_view Name(hsm::Recipients recipients);
Result<hsm::Recipients> ParseRecipients(std::string_view name);

/// What a member who joins a group sees of its key. Removing one always makes a new version.
enum class JoinPolicy {
  kFromCurrent,  ///< the version that protects when he joins, and later ones (default)
  kAllVersions,  ///< the earlier ones too
  kRekey,        ///< a new version is made for his joining: nothing that was protected before
};
std::string_view Name(JoinPolicy policy);  ///< "from-current", "all-versions", "rekey"
Result<JoinPolicy> ParseJoinPolicy(std::string_view name);

/// When versions follow each other. A change of it holds for the versions that exist, too: a shorter period
/// brings the next version sooner, a longer one never makes it later than the end (`exp`) that holders of the
/// present one were told.
struct RotationPolicy {
  std::int64_t crypto_period = 0;   ///< seconds a version protects; 0: only `key rotate` makes the next
  std::int64_t overlap = 0;         ///< seconds the former version stays active beside the next
  std::int64_t make_ahead = 0;      ///< seconds the next version is made before it protects
  std::uint32_t versions_kept = 0;  ///< versions with material a key; older ones are wiped; 0: all
  bool operator==(const RotationPolicy&) const = default;
};

/// Among `AccessPolicy::ue_issuers`: users that a trusted proxy asserts (TS 24.547 A.2.3). No issuer has this
/// id.
inline constexpr const char* kAssertedIdentity = "asserted-identity";

/// Who besides its readers comes near a service's keys, and where they are. As made: nobody, and here.
struct AccessPolicy {
  std::vector<PrincipalId>
      provisioners;                  ///< may provision payloads (TS 33.434 5.8), with SKeyProv in a token
  std::vector<IssuerId> ue_issuers;  ///< whose access tokens open KM-UU to their users and UEs
  bool ue_service_key = false;       ///< a UE may have the service's own key, not only its user's and its own
  std::string home;     ///< apiRoot of the key management server that has this service; empty: this one
  std::string home_ue;  ///< its apiRoot of KM-UU, where that is another; empty: `home`. Never without `home`
  bool home_permanent = false;  ///< told with 308, else with 307

  const std::string& home_for_ues() const { return home_ue.empty() ? home : home_ue; }
  bool operator==(const AccessPolicy&) const = default;
};

/// A VAL service and its policy.
struct Service {
  ValServiceId id;
  std::string profile = "aes-256";  ///< a KeyProfile name; fixed once the service has keys
  std::vector<TargetKind> scopes = {TargetKind::kService};  ///< which selectors may exist
  bool generate_on_request = true;  ///< first request makes the key; else only `key rotate` does
  Delivery delivery = Delivery::kWrapped;
  std::vector<PrincipalId> readers;  ///< who may ask; empty: nobody
  std::string user_uri;  ///< ValKeyInfo.userUri for the service itself; empty: named under our own apiRoot
  RotationPolicy rotation;
  std::int64_t max_records = 0;            ///< keys (selectors) of the service; 0: no limit
  std::vector<PrincipalId> group_servers;  ///< who may manage groups of this service; empty: nobody
  JoinPolicy join = JoinPolicy::kFromCurrent;
  AccessPolicy access;
  Recipients recipients = Recipients::kAny;  ///< fixed once the service has keys or payloads

  bool HasScope(TargetKind kind) const {
    return std::find(scopes.begin(), scopes.end(), kind) != scopes.end();
  }
};

inline constexpr const char* kGroupServerRole = "group-server";

/// A peer that authenticates with a client certificate and a token.
struct Principal {
  PrincipalId id;
  std::string role = "val-server";         ///< "val-server" or "group-server"
  std::string client_id;                   ///< client_id in its access tokens
  Bytes certificate_spki;                  ///< SubjectPublicKeyInfo DER of its certificate; unique
  std::string certificate_subject;         ///< for people
  std::int64_t certificate_not_after = 0;  ///< seconds since 1970, for people
};

/// A user or UE that has a recipient.
struct UeIdentity {
  TargetKind kind = TargetKind::kUe;  ///< kUser or kUe
  std::string id;
  bool operator<(const UeIdentity& other) const {
    return kind != other.kind ? kind < other.kind : id < other.id;
  }
};

/// Where a principal's, user's or UE's keys are wrapped to: at most one for each. A principal without one has
/// the key of its certificate, RSA or (where the token has the KDF) EC.
struct RecipientEntry {
  RecipientId id;
  PrincipalId principal;  ///< empty where `ue` is set
  hsm::Recipient key;
  std::optional<UeIdentity> ue{};
};

/// What an issuer's access tokens say, and by which names (TS 33.434 A.2.2 names SKeyProv alone). An empty
/// name: the issuer vouches for nothing of the kind.
struct TokenProfile {
  std::string services_claim;  ///< VAL service ids: a list, or one string with blanks between
  std::string user_claim;      ///< VAL user id
  std::string ue_claim;        ///< VAL UE id
  std::string client_claim;    ///< VAL client id
  std::string provisioning_claim = "SKeyProv";  ///< TS 33.434 A.2.2.3
  /// Values of it that count: "true", "list" (of service ids), "string" (service ids with blanks between).
  std::vector<std::string> provisioning_values = {"true", "list"};
  bool operator==(const TokenProfile&) const = default;
};

/// A trusted token issuer.
struct Issuer {
  IssuerId id;
  std::string issuer;
  std::string audience;
  std::string jwks;        ///< JWK Set, JSON text; public keys only; empty: not fetched yet
  std::string jwks_uri{};  ///< https URI that `jwks` is fetched from; empty: the administrator gave it
  std::string jwks_ca{};   ///< PEM that the URI's certificate is verified against; empty: the host's own
  TokenProfile profile{};
};

inline constexpr std::size_t kMostSubscriptions = 8;  ///< of one principal

/// Who wants to be told what happens to the keys he may read, and where.
struct Subscription {
  SubscriptionId id;
  PrincipalId principal;
  std::string destination;  ///< https URI
  std::string ca;           ///< PEM: the only certificates that the destination's is verified against
  std::int64_t created = 0;
};

}  // namespace skms::keystore
