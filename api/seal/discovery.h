// Discovery: `GET {apiRoot}/.well-known/skms`, what a client must know before its first request: names, APIs
// with their versions and scopes, the forms in which this token can deliver, and the public keys.
//
// Ours (the standard has none); api/openapi/skms_discovery.yaml. Needs no access token: it says nothing that
// is not public. Cacheable for an hour, with an ETag; the same bytes until token keys change.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/http/router.h"
#include "base/result.h"

namespace skms::seal {

struct PublishedApi {
  std::string name;             ///< first segment of its path: "ss-kir"
  std::string version;          ///< second segment: "v1"
  std::string reference_point;  ///< "KM-S"
  std::string scope;            ///< that the access token must carry
  std::string root{};           ///< its apiRoot where it is another than the server's own
};

struct PublishedKey {
  std::string kid;
  std::string alg;  ///< RFC 7518
  std::string use;  ///< "sig", "enc"
  Bytes spki;       ///< SubjectPublicKeyInfo DER
};

struct DiscoveryDocument {
  std::string skms_id;
  std::string skms_uri;  ///< our apiRoot
  std::vector<PublishedApi> apis;
  std::vector<std::string> wrapping;  ///< values of keyInfo's wrapped.alg
  std::vector<PublishedKey> keys;
  std::string payload_encryption{};  ///< enc of provisioned payloads' JWEs; empty: the token keeps none
};

/// The JSON text. Errors: kInternal (a key that has no JWK form).
Result<std::string> EncodeDiscovery(const DiscoveryDocument& document);

/// Asked at each request; thread-safe, and soon done. Errors: the token's.
using DiscoverySource = std::function<Result<DiscoveryDocument>()>;

/// At `api_root`; the document is tried once. Errors: as EncodeDiscovery, those of `source`.
Status RegisterDiscovery(http::Api& api, const std::string& api_root, DiscoverySource source);

}  // namespace skms::seal
