#include "client/key_management_client.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/api_root.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "client/crypto.h"
#include "client/json_text.h"
#include "client/jwe.h"

namespace skms::client {
namespace {

using nlohmann::json;

constexpr int kMostRedirects = 3;
constexpr const char* kKeyRequest = "/skm/v1/key-request";
constexpr const char* kPreferReceipt = "Prefer: skms-receipt";
constexpr const char* kProvision = "/ss-kpp/v1/request";

std::string Dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

Status CheckTarget(const KeyQuery& query) {
  if (query.service.empty()) return InvalidArgument("a VAL service must be named");
  const int named =
      (query.user.empty() ? 0 : 1) + (query.ue.empty() ? 0 : 1) + (query.client.empty() ? 0 : 1);
  if (named > 1) return InvalidArgument("at most one of user, UE and client can be asked for");
  return Ok();
}

Discovery::TransferKey DecodeTransferKey(const json& jwk) {
  Discovery::TransferKey key{Text(jwk, "kid"), Text(jwk, "alg"), {}, {}};
  key.modulus = FromBase64Url(Text(jwk, "n")).value_or(Bytes());
  key.exponent = FromBase64Url(Text(jwk, "e")).value_or(Bytes());
  return key;
}

/// nullopt: of a kind that is not known here, and so of no use.
std::optional<SigningKey> DecodeSigningKey(const json& jwk) {
  const auto octets = [&jwk](const char* name) { return FromBase64Url(Text(jwk, name)).value_or(Bytes()); };
  auto spki = Text(jwk, "kty") == "EC" ? EcSpki({Text(jwk, "crv"), octets("x"), octets("y")})
                                       : RsaSpki(octets("n"), octets("e"));
  if (spki.has_error()) return std::nullopt;
  return SigningKey{Text(jwk, "kid"), std::move(spki).value()};
}

Result<Discovery> DecodeDiscovery(const std::string& body) {
  const json said = ParseJson(body);
  const json& apis = Member(said, "apis");
  if (!apis.is_array())
    return IntegrityError("the answer is no discovery document of a SEAL key management server");
  Discovery out;
  out.skms_id = Text(said, "skmsId");
  out.skms_uri = Text(said, "skmsUri");
  for (const json& api : apis) {
    out.apis.push_back({Text(api, "apiName"), Text(api, "apiVersion"), Text(api, "referencePoint"),
                        Text(api, "uri"), Text(api, "scope")});
  }
  for (const json& alg : Member(said, "wrapping"))
    if (alg.is_string()) out.wrapping.push_back(alg.get<std::string>());
  for (const json& jwk : Member(Member(said, "jwks"), "keys")) {
    if (Text(jwk, "use") == "enc" && Text(jwk, "kty") == "RSA") out.transfer_key = DecodeTransferKey(jwk);
    if (Text(jwk, "use") != "sig") continue;
    if (auto key = DecodeSigningKey(jwk)) out.signing_keys.push_back(std::move(*key));
  }
  return out;
}

}  // namespace

std::string Thumbprint(const Discovery::TransferKey& key) {
  const std::string canonical =
      R"({"e":")" + ToBase64Url(key.exponent) + R"(","kty":"RSA","n":")" + ToBase64Url(key.modulus) + R"("})";
  return ToBase64Url(Sha256(AsBytes(canonical)));
}

/// A request that can be made again for another server.
struct KeyManagementClient::Ask {
  std::string method;
  std::string target;
  std::vector<std::string> headers;
  /// The body for that server; empty function: no body.
  std::function<Result<std::string>(HttpsClient& server)> body;
  const SecretBytes* access_token = nullptr;
  bool conditional = false;  ///< an entity tag was sent: 304 is an answer
};

KeyManagementClient::KeyManagementClient(Endpoint server, const Clock& clock, ClientOptions options)
    : https_(std::move(server)), clock_(clock), options_(options) {}

Result<HttpAnswer> KeyManagementClient::Refuse(const HttpAnswer& answer) {
  problem_ = ReadProblem(answer);
  return ErrorOf(*problem_);
}

/// 200, or 304 where an entity tag was sent. Redirects lead to https apiRoots only.
Result<HttpAnswer> KeyManagementClient::Send(const Ask& ask) {
  problem_.reset();
  std::optional<HttpsClient> elsewhere;
  for (int hop = 0;; ++hop) {
    HttpsClient& server = elsewhere ? *elsewhere : https_;
    asked_root_ = server.endpoint().url;
    HttpRequest request{ask.method, ask.target, ask.headers, std::nullopt, ask.access_token};
    if (ask.body) {
      SKMS_TRY(request.body, ask.body(server));
      request.headers.emplace_back("Content-Type: application/json");
    }
    auto answer = server.Send(request);
    if (request.body) Wipe(*request.body);
    if (answer.has_error()) return std::move(answer).error();
    const long status = answer.value().status;
    if (status == 200 || (status == 304 && ask.conditional)) return answer;
    const std::string location = answer.value().headers["location"];
    const std::string root =
        location.size() > ask.target.size() ? location.substr(0, location.size() - ask.target.size()) : "";
    const bool moved = (status == 307 || status == 308) && root + ask.target == location && IsApiRoot(root);
    if (!moved || !options_.follow_redirects || hop == kMostRedirects) return Refuse(answer.value());
    Endpoint next = server.endpoint();
    next.url = root;
    elsewhere.emplace(std::move(next));
  }
}

Result<Discovery> KeyManagementClient::Discover() {
  SKMS_TRY(const HttpAnswer answer,
           Send({"GET", "/.well-known/skms", {"Accept: application/json"}, {}, nullptr}));
  return DecodeDiscovery(answer.body);
}

Result<Discovery> KeyManagementClient::DiscoveryOf(HttpsClient& server) {
  SKMS_TRY(const HttpAnswer answer, server.Send({"GET", "/.well-known/skms", {"Accept: application/json"}}));
  if (answer.status != 200)
    return Error{ErrorCode::kUnsupported,
                 server.endpoint().url + " publishes no keys (" + std::to_string(answer.status) + ")"};
  return DecodeDiscovery(answer.body);
}

/// The transfer key of `server`, which need not be the one this client began with.
Result<Discovery::TransferKey> KeyManagementClient::TransferKeyOf(HttpsClient& server,
                                                                  const std::string& thumbprint) {
  SKMS_TRY(const Discovery found, DiscoveryOf(server));
  if (!found.transfer_key)
    return Error{ErrorCode::kUnsupported,
                 server.endpoint().url + " publishes no transfer key to seal the payload to"};
  const std::string published = Thumbprint(*found.transfer_key);
  if (!thumbprint.empty() && published != thumbprint)
    return IntegrityError("the server's transfer key is '" + published + "', not '" + thumbprint + "'");
  return *found.transfer_key;
}

std::string KeyRecordsTarget(const KeyQuery& query) {
  std::string out = "/ss-kir/v1/key-records?val-service-id=" + PercentEncode(query.service);
  json target;
  if (!query.user.empty()) target["valUserId"] = query.user;
  if (!query.ue.empty()) target["valUeId"] = query.ue;
  if (!target.is_null()) out += "&val-tgt-ue=" + PercentEncode(Dump(target));
  return out;
}

Result<HttpAnswer> KeyManagementClient::SendKeyQuery(const KeyQuery& query, const SecretBytes& access_token,
                                                     const std::string& etag) {
  SKMS_TRYV(CheckTarget(query));
  if (!query.client.empty())
    return InvalidArgument("KM-S has no way to name a VAL client (TS 29.549 7.3.1.4.2.3)");
  Ask ask{"GET", KeyRecordsTarget(query), {"Accept: application/json"}, {}, &access_token};
  if (!etag.empty()) ask.headers.push_back("If-None-Match: " + etag);
  if (query.receipt) ask.headers.emplace_back(kPreferReceipt);
  ask.conditional = !etag.empty();
  return Send(ask);
}

/// What was decoded, with the receipt; the body is wiped.
Result<KeyAnswer> KeyManagementClient::Taken(HttpAnswer& answer, Result<KeyAnswer> decoded) {
  if (decoded.has_value()) {
    decoded.value().receipt = answer.headers["skms-receipt"];
    decoded.value().body_sha256 = Sha256(AsBytes(answer.body));
  }
  Wipe(answer.body);
  return decoded;
}

Result<DeliveryReceipt> KeyManagementClient::CheckReceipt(const KeyAnswer& answer) {
  if (answer.receipt.empty()) return NotFound("no receipt came with the answer");
  const std::string root = asked_root_;
  Endpoint endpoint = https_.endpoint();
  endpoint.url = root;
  HttpsClient server(std::move(endpoint));
  SKMS_TRY(const Discovery found, DiscoveryOf(server));
  SKMS_TRY(DeliveryReceipt receipt, VerifyReceipt(answer.receipt, found.signing_keys));
  SKMS_TRYV(CheckReceiptOf(receipt, answer, root));
  return receipt;
}

Result<KeyAnswer> KeyManagementClient::RetrieveKeys(const KeyQuery& query, const SecretBytes& access_token) {
  SKMS_TRY(HttpAnswer answer, SendKeyQuery(query, access_token, ""));
  return Taken(answer, DecodeAnswer(answer.body, query));
}

Result<std::optional<KeyAnswer>> KeyManagementClient::RetrieveKeysIfChanged(const KeyQuery& query,
                                                                            const SecretBytes& access_token,
                                                                            std::string& etag) {
  SKMS_TRY(HttpAnswer answer, SendKeyQuery(query, access_token, etag));
  if (answer.status == 304) return std::optional<KeyAnswer>();
  auto decoded = Taken(answer, DecodeAnswer(answer.body, query));
  if (decoded.has_error()) return std::move(decoded).error();
  etag = answer.headers["etag"];
  return std::optional<KeyAnswer>(std::move(decoded).value());
}

Result<KeyAnswer> KeyManagementClient::RequestKeys(const KeyQuery& query, const SecretBytes& access_token,
                                                   const std::string& bound_key_path) {
  SKMS_TRYV(CheckTarget(query));
  json message{{"version", "1.0.0"}, {"serviceId", query.service}};
  if (!query.user.empty()) message["userId"] = query.user;
  if (!query.ue.empty()) message["deviceId"] = query.ue;
  if (!query.client.empty()) message["clientId"] = query.client;
  if (!bound_key_path.empty()) {
    SKMS_TRY(const std::string jwk, PublicJwk(bound_key_path));
    message["recipientKey"] = json::parse(jwk);
  }
  const auto body = [&](HttpsClient& server) -> Result<std::string> {
    message["skmsUri"] = server.endpoint().url;
    message["dateTime"] = clock_.NowSeconds();
    return Dump(message);
  };
  Ask ask{"POST", kKeyRequest, {"Accept: application/json"}, body, &access_token};
  if (query.receipt) ask.headers.emplace_back(kPreferReceipt);
  SKMS_TRY(HttpAnswer answer, Send(ask));
  return Taken(answer, DecodeKmResponse(answer.body, query, asked_root_));
}

Status KeyManagementClient::Provision(const ProvisionRequest& request, const SecretBytes& access_token) {
  SKMS_TRYV(CheckTarget({request.service, request.user, request.ue, {}, {}}));
  json message{{"skmcUri", request.client_uri}, {"valServiceId", request.service}};
  if (!request.user.empty()) message["valTgtUe"] = {{"valUserId", request.user}};
  if (!request.ue.empty()) message["valTgtUe"] = {{"valUeId", request.ue}};
  if (!request.payload_id.empty()) message["payloadId"] = request.payload_id;
  const auto body = [&](HttpsClient& server) -> Result<std::string> {
    std::string payload;
    if (request.seal) {
      SKMS_TRY(const Discovery::TransferKey key, TransferKeyOf(server, request.transfer_key_thumbprint));
      SKMS_TRY(const std::string jwe, SealJwe(request.payload, key));
      payload = ToBase64(AsBytes(jwe));
    } else {
      payload = ToBase64(request.payload);
    }
    json whole = message;
    whole["payload"] = payload;
    std::string text = Dump(whole);
    Wipe(whole["payload"].get_ref<std::string&>());
    Wipe(payload);
    return text;
  };
  SKMS_TRY(const HttpAnswer answer,
           Send({"POST", kProvision, {"Accept: application/json"}, body, &access_token}));
  const json echo = ParseJson(answer.body);
  if (Text(echo, "valServiceId") != request.service || Text(echo, "payloadId") != request.payload_id)
    return IntegrityError("the answer is for another service or payload than was sent");
  return Ok();
}

}  // namespace skms::client
