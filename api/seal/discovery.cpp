#include "api/seal/discovery.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/http/negotiation.h"
#include "api/seal/public_jwk.h"
#include "api/seal/reception.h"
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

namespace {

http::Response Answer(const http::Request& request, const http::RequestContext& context,
                      const DiscoverySource& source) {
  const auto text = [&]() -> Result<std::string> {
    SKMS_TRY(const DiscoveryDocument document, source());
    return EncodeDiscovery(document);
  }();
  if (text.has_error()) return Reception::Fail(text.error(), context);
  const std::string& body = text.value();
  const std::string tag = "\"" + ToBase64Url(ByteView(Sha256(AsBytes(body))).first(16)) + "\"";
  http::Response response =
      http::HasEntity(request, tag) ? http::NotModified(tag) : http::JsonAnswer(200, body);
  response.headers.Set("ETag", tag);
  response.headers.Set("Cache-Control", "public, max-age=3600");
  return response;
}

}  // namespace

Status RegisterDiscovery(http::Api& api, const std::string& api_root, DiscoverySource source) {
  SKMS_TRY(const DiscoveryDocument first, source());
  SKMS_TRYV(EncodeDiscovery(first));
  api.Add("GET", ParseApiRoot(api_root).prefix + "/.well-known/skms",
          [source = std::move(source)](const http::Request& request, http::RequestContext& context,
                                       const http::PathValues&) { return Answer(request, context, source); });
  return Ok();
}

}  // namespace skms::seal
