#include "api/seal/discovery.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/http/negotiation.h"
#include "api/seal/public_jwk.h"
#include "api/seal/request_checks.h"
#include "base/digest.h"
#include "base/encoding.h"

namespace skms::seal {

using nlohmann::json;

Result<std::string> EncodeDiscovery(const DiscoveryDocument& document) {
  json apis = json::array();
  for (const PublishedApi& api : document.apis) {
    apis.push_back(
        {{"apiName", api.name},
         {"apiVersion", api.version},
         {"referencePoint", api.reference_point},
         {"uri", (api.root.empty() ? document.skms_uri : api.root) + "/" + api.name + "/" + api.version},
         {"scope", api.scope}});
  }
  json keys = json::array();
  for (const PublishedKey& key : document.keys) {
    SKMS_TRY(json jwk, PublicJwk(key.spki));
    jwk["kid"] = key.kid;
    jwk["alg"] = key.alg;
    jwk["use"] = key.use;
    keys.push_back(std::move(jwk));
  }
  json out{{"skmsId", document.skms_id},
           {"skmsUri", document.skms_uri},
           {"apis", std::move(apis)},
           {"wrapping", document.wrapping},
           {"jwks", {{"keys", std::move(keys)}}}};
  if (!document.payload_encryption.empty()) out["payloadEncryption"] = document.payload_encryption;
  return out.dump();
}

Status RegisterDiscovery(http::Api& api, const DiscoveryDocument& document) {
  SKMS_TRY(const std::string body, EncodeDiscovery(document));
  const std::string tag = "\"" + ToBase64Url(ByteView(Sha256(AsBytes(body))).first(16)) + "\"";
  const std::string path = ParseApiRoot(document.skms_uri).prefix + "/.well-known/skms";
  api.Add("GET", path,
          [body, tag](const http::Request& request, http::RequestContext&, const http::PathValues&) {
            http::Response response =
                http::HasEntity(request, tag) ? http::NotModified(tag) : http::JsonAnswer(200, body);
            response.headers.Set("ETag", tag);
            response.headers.Set("Cache-Control", "public, max-age=3600");
            return response;
          });
  return Ok();
}

}  // namespace skms::seal
