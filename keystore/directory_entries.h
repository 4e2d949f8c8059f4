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

/// A VAL service and its policy.
struct Service {
  ValServiceId id;
  std::string profile = "aes-256";  ///< a KeyProfile name; fixed once the service has keys
  std::vector<TargetKind> scopes = {TargetKind::kService};  ///< which selectors may exist
  bool generate_on_request = true;  ///< first request makes the key; else only `key rotate` does
  Delivery delivery = Delivery::kWrapped;
  std::vector<PrincipalId> readers;  ///< who may ask; empty: nobody
  std::string user_uri;  ///< ValKeyInfo.userUri for the service itself; empty: named under our own apiRoot

  bool HasScope(TargetKind kind) const {
    return std::find(scopes.begin(), scopes.end(), kind) != scopes.end();
  }
};

/// A peer that authenticates with a client certificate and a token.
struct Principal {
  PrincipalId id;
  std::string role = "val-server";         ///< "val-server" or "group-server"
  std::string client_id;                   ///< client_id in its access tokens
  Bytes certificate_spki;                  ///< SubjectPublicKeyInfo DER of its certificate; unique
  std::string certificate_subject;         ///< for people
  std::int64_t certificate_not_after = 0;  ///< seconds since 1970, for people
};

/// Where a principal's keys are wrapped to. At most one per principal; without one, its certificate's RSA
/// key.
struct RecipientEntry {
  RecipientId id;
  PrincipalId principal;
  hsm::Recipient key;
};

/// A trusted token issuer.
struct Issuer {
  IssuerId id;
  std::string issuer;
  std::string audience;
  std::string jwks;  ///< JWK Set, JSON text; public keys only
};

}  // namespace skms::keystore
