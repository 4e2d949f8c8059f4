#include "client/key_answer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "client/json_text.h"

namespace skms::client {
namespace {

using nlohmann::json;

/// The scope that a key of `query` has.
const char* ScopeOf(const KeyQuery& query) {
  if (!query.user.empty()) return "user";
  if (!query.ue.empty()) return "ue";
  return query.client.empty() ? "service" : "client";
}

bool HasTarget(const KeyQuery& query) {
  return !query.user.empty() || !query.ue.empty() || !query.client.empty();
}

bool IsForQuery(const json& key, const KeyQuery& query) {
  if (Text(key, "service") != query.service) return false;
  if (HasTarget(query) && Text(key, "scope") == "group") return !Text(key, "target").empty();
  return Text(key, "scope") == ScopeOf(query) && Text(key, "target") == query.user + query.ue + query.client;
}

Result<EphemeralKey> DecodeEphemeral(const json& jwk) {
  EphemeralKey key;
  if (Text(jwk, "kty") != "EC") return IntegrityError("the answer's 'epk' is no JWK of an EC key");
  key.curve = Text(jwk, "crv");
  SKMS_TRY(key.x, Octets(jwk, "x"));
  SKMS_TRY(key.y, Octets(jwk, "y"));
  return key;
}

Result<ReceivedKey> DecodeKey(const json& key) {
  ReceivedKey out;
  out.kid = Text(key, "kid");
  if (Text(key, "scope") == "group") out.group = Text(key, "target");
  out.alg = Text(key, "alg");
  out.state = Text(key, "state");
  SKMS_TRY(out.not_before, Integer(key, "nbf"));
  SKMS_TRY(out.not_after, Integer(key, "exp"));
  SKMS_TRY(const std::int64_t version, Integer(key, "version"));
  out.version = static_cast<std::uint64_t>(version);
  if (key.contains("k")) {
    SKMS_TRY(Bytes plain, Octets(key, "k"));
    out.plaintext = SecretBytes::TakeFrom(plain);
    return out;
  }
  if (!key.contains("wrapped") || !key["wrapped"].is_object())
    return IntegrityError("the answer's key has no material");
  const json& wrapped = key["wrapped"];
  out.wrap_alg = Text(wrapped, "alg");
  out.recipient = Text(wrapped, "recipient");
  SKMS_TRY(out.encrypted_key, Octets(wrapped, "encryptedKey"));
  if (wrapped.contains("wrappedKey")) {
    SKMS_TRY(out.wrapped_key, Octets(wrapped, "wrappedKey"));
  }
  if (wrapped.contains("epk")) {
    SKMS_TRY(out.ephemeral, DecodeEphemeral(wrapped["epk"]));
  }
  return out;
}

Result<ReceivedPayload> DecodePayload(const json& payload) {
  ReceivedPayload out;
  out.kid = Text(payload, "kid");
  out.payload_id = Text(payload, "payloadId");
  SKMS_TRY(out.not_before, Integer(payload, "nbf"));
  SKMS_TRY(const std::int64_t version, Integer(payload, "version"));
  out.version = static_cast<std::uint64_t>(version);
  if (payload.contains("payload")) {
    SKMS_TRY(Bytes plain, Octets(payload, "payload"));
    out.plaintext = SecretBytes::TakeFrom(plain);
    return out;
  }
  const json& jwe = Member(payload, "jwe");
  if (!jwe.is_object() || !jwe.contains("ciphertext"))
    return IntegrityError("the answer's payload has no content");
  const json& header = Member(jwe, "header");
  out.alg = Text(header, "alg");
  out.recipient = Text(header, "kid");
  out.protected_header = Text(jwe, "protected");
  SKMS_TRY(out.encrypted_key, Octets(jwe, "encrypted_key"));
  SKMS_TRY(out.iv, Octets(jwe, "iv"));
  SKMS_TRY(out.ciphertext, Octets(jwe, "ciphertext"));
  SKMS_TRY(out.tag, Octets(jwe, "tag"));
  return out;
}

bool EchoesTarget(const json& info, const KeyQuery& query) {
  const auto target = info.find("valTgtUe");
  if (query.user.empty() && query.ue.empty()) return target == info.end();
  if (target == info.end() || !target->is_object()) return false;
  return Text(*target, "valUserId") == query.user && Text(*target, "valUeId") == query.ue;
}

/// keyInfo, or KM-UU's payload.
Result<KeyAnswer> DecodeKeyInfo(const json& key_info, const KeyQuery& query) {
  const json& keys = Member(key_info, "keys");
  const json& payloads = Member(key_info, "payloads");
  const auto list = [](const json& member) { return member.is_null() || member.is_array(); };
  // Null counts as empty.
  if (!list(keys) || !list(payloads) || (keys.empty() && payloads.empty()))
    return IntegrityError("the answer holds neither keys nor payloads");
  KeyAnswer answer;
  answer.skms = Text(key_info, "skms");
  bool of_groups = false;
  for (const json& key : keys) {
    if (!key.is_object() || !IsForQuery(key, query))
      return IntegrityError("the answer holds a key that was not asked for");
    SKMS_TRY(ReceivedKey decoded, DecodeKey(key));
    of_groups = of_groups || !decoded.group.empty();
    if (decoded.group == query.group) answer.keys.push_back(std::move(decoded));
  }
  for (const json& payload : payloads) {
    if (!payload.is_object() || !IsForQuery(payload, query))
      return IntegrityError("the answer holds a payload that was not asked for");
    SKMS_TRY(ReceivedPayload decoded, DecodePayload(payload));
    answer.payloads.push_back(std::move(decoded));
  }
  if (answer.keys.empty() && !query.group.empty())
    return NotFound("the answer holds no key of group '" + query.group + "'");
  if (answer.keys.empty() && answer.payloads.empty() && of_groups)
    return NotFound("the answer holds keys of groups only; name one of them");
  return answer;
}

Result<KeyAnswer> Decode(const std::string& body, const KeyQuery& query) {
  const json info = ParseJson(body);
  if (!info.is_object()) return IntegrityError("the answer is not JSON");
  if (Text(info, "valService") != query.service || !EchoesTarget(info, query)) {
    return IntegrityError("the answer is for another service or target than asked");
  }
  SKMS_TRY(KeyAnswer answer, DecodeKeyInfo(ParseJson(Text(info, "keyInfo")), query));
  answer.user_uri = Text(info, "userUri");
  return answer;
}

Result<KeyAnswer> DecodeMessage(const std::string& body, const KeyQuery& query, const std::string& skms_uri) {
  const json message = ParseJson(body);
  if (!message.is_object()) return IntegrityError("the answer is not JSON");
  if (Text(message, "skmsUri") != skms_uri)
    return IntegrityError("the answer names '" + Text(message, "skmsUri") +
                          "' as its sender: use that as the URL");
  if (Text(message, "serviceId") != query.service || Text(message, "userId") != query.user ||
      Text(message, "deviceId") != query.ue || Text(message, "clientId") != query.client)
    return IntegrityError("the answer is for another service or target than asked");
  SKMS_TRY(KeyAnswer answer, DecodeKeyInfo(Member(message, "payload"), query));
  answer.user_uri = Text(message, "userUri");
  return answer;
}

/// `decode`, with nlohmann's complaint about a member's kind turned into an error.
template <class Decoder>
Result<KeyAnswer> Guarded(const Decoder& decode) {
  try {
    return decode();
  } catch (const json::exception&) {
    return IntegrityError("the answer's members are of the wrong kind");
  }
}

}  // namespace

Result<KeyAnswer> DecodeAnswer(const std::string& body, const KeyQuery& query) {
  return Guarded([&] { return Decode(body, query); });
}

Result<KeyAnswer> DecodeKmResponse(const std::string& body, const KeyQuery& query,
                                   const std::string& skms_uri) {
  return Guarded([&] { return DecodeMessage(body, query, skms_uri); });
}

}  // namespace skms::client
