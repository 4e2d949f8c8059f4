#include "api/seal/key_info.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/seal/jwe.h"
#include "api/seal/public_jwk.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "keystore/key_life.h"

namespace skms::seal {
namespace {

using keystore::DeliveredVersion;
using keystore::Selector;
using keystore::TargetKind;

Status AddMaterial(const DeliveredVersion& key, nlohmann::json& out) {
  if (key.plaintext) {
    out["k"] = ToBase64Url(key.plaintext->ExposeSecret());
    return Ok();
  }
  if (!key.wrapped) return InternalError("a delivered key carries no material");
  nlohmann::json wrapped{{"alg", key.wrapped->alg},
                         {"recipient", key.recipient},
                         {"encryptedKey", ToBase64Url(key.wrapped->encrypted_key)}};
  if (!key.wrapped->wrapped_key.empty()) wrapped["wrappedKey"] = ToBase64Url(key.wrapped->wrapped_key);
  if (!key.wrapped->ephemeral_spki.empty()) {
    SKMS_TRY(wrapped["epk"], PublicJwk(key.wrapped->ephemeral_spki));
  }
  out["wrapped"] = std::move(wrapped);
  return Ok();
}

/// RFC 7517 4.3: what the holder may do with it, given its state.
nlohmann::json KeyOps(const DeliveredVersion& key) {
  const bool full = keystore::UseOf(key.version) != keystore::KeyUse::kProcess;
  if (key.profile.use == "sig")
    return full ? nlohmann::json{"sign", "verify"} : nlohmann::json::array({"verify"});
  return full ? nlohmann::json{"encrypt", "decrypt"} : nlohmann::json::array({"decrypt"});
}

Result<nlohmann::json> EncodeKey(const DeliveredVersion& key) {
  const keystore::KeyVersion& version = key.version;
  nlohmann::json out{{"kid", version.kid.value()},
                     {"service", version.selector.service.value()},
                     {"scope", Name(version.selector.kind)},
                     {"alg", key.profile.alg},
                     {"use", key.profile.use},
                     {"state", Name(version.state)},
                     {"key_ops", KeyOps(key)},
                     {"nbf", version.not_before},
                     {"version", version.version}};
  if (version.selector.kind != TargetKind::kService) out["target"] = version.selector.target;
  if (version.not_after) out["exp"] = *version.not_after;
  if (!version.public_key.empty()) {
    SKMS_TRY(out["publicKey"], PublicJwk(version.public_key));
  }
  SKMS_TRYV(AddMaterial(key, out));
  return out;
}

bool LooksLikeUri(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) return false;
  for (std::size_t i = 0; i < colon; ++i) {
    const char c = text[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool later = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
    if (!letter && (i == 0 || !later)) return false;
  }
  return text.find_first_of(" <>\"{}|\\^`") == std::string::npos;
}

}  // namespace

std::string UserUri(const Selector& selector, const keystore::Service& service, const std::string& api_root) {
  if (selector.kind == TargetKind::kUser && LooksLikeUri(selector.target)) return selector.target;
  std::string base = service.user_uri.empty()
                         ? api_root + "/val-services/" + PercentEncode(service.id.value())
                         : service.user_uri;
  switch (selector.kind) {
    case TargetKind::kService:
      return base;
    case TargetKind::kUser:
      return base + "/users/" + PercentEncode(selector.target);
    case TargetKind::kUe:
      return base + "/ues/" + PercentEncode(selector.target);
    case TargetKind::kClient:
      return base + "/clients/" + PercentEncode(selector.target);
    case TargetKind::kGroup:
      return base + "/groups/" + PercentEncode(selector.target);
  }
  return base;
}

namespace {

Result<nlohmann::json> EncodePayload(const keystore::DeliveredPayload& delivered) {
  const keystore::Payload& payload = delivered.payload;
  nlohmann::json out{{"kid", payload.id},
                     {"service", payload.selector.service.value()},
                     {"scope", Name(payload.selector.kind)},
                     {"nbf", payload.created},
                     {"version", payload.version}};
  if (payload.selector.kind != TargetKind::kService) out["target"] = payload.selector.target;
  if (!payload.payload_id.empty()) out["payloadId"] = payload.payload_id;
  if (delivered.plaintext) {
    out["payload"] = ToBase64Url(delivered.plaintext->ExposeSecret());
  } else {
    SKMS_TRY(out["jwe"], EncodeJwe(delivered));
  }
  return out;
}

}  // namespace

Result<nlohmann::json> KeyInfoObject(const keystore::DeliveryAnswer& answer, const AnswerFrame& frame) {
  nlohmann::json keys = nlohmann::json::array();
  for (const DeliveredVersion& key : answer.keys) {
    SKMS_TRY(nlohmann::json encoded, EncodeKey(key));
    keys.push_back(std::move(encoded));
  }
  nlohmann::json out{{"keys", std::move(keys)}, {"skms", frame.skms_id}, {"time", frame.time}};
  for (const keystore::DeliveredPayload& payload : answer.payloads) {
    SKMS_TRY(nlohmann::json encoded, EncodePayload(payload));
    out["payloads"].push_back(std::move(encoded));
  }
  return out;
}

Result<std::string> EncodeKeyInfo(const keystore::DeliveryAnswer& answer, const AnswerFrame& frame) {
  SKMS_TRY(const nlohmann::json object, KeyInfoObject(answer, frame));
  return object.dump();
}

Result<std::string> EncodeValKeyInfo(const Selector& selector, const keystore::DeliveryAnswer& answer,
                                     const AnswerFrame& frame) {
  SKMS_TRY(const auto form, ValKeyInfoForm::Of(selector, answer, frame));
  return form->At(frame.time);
}

Result<std::shared_ptr<const ValKeyInfoForm>> ValKeyInfoForm::Of(const Selector& selector,
                                                                 const keystore::DeliveryAnswer& answer,
                                                                 const AnswerFrame& frame) {
  SKMS_TRY(nlohmann::json key_info, KeyInfoObject(answer, frame));
  key_info.erase("time");
  nlohmann::json rest{{"userUri", UserUri(selector, *answer.service, frame.api_root)},
                      {"skmsId", frame.skms_id},
                      {"valService", selector.service.value()}};
  if (selector.kind == TargetKind::kUser) rest["valTgtUe"] = {{"valUserId", selector.target}};
  if (selector.kind == TargetKind::kUe) rest["valTgtUe"] = {{"valUeId", selector.target}};
  // keyInfo is text within text: `"{…}"`. The time becomes its last member, before its `}"`.
  const std::string text = nlohmann::json(key_info.dump()).dump();
  const std::string members = rest.dump();
  auto form = std::make_shared<ValKeyInfoForm>();
  form->before_time_ = R"({"keyInfo":)" + text.substr(0, text.size() - 2) + R"(,\"time\":)";
  form->after_time_ = R"(}",)" + members.substr(1);
  form->entity_tag_ = EntityTag(answer);
  return std::shared_ptr<const ValKeyInfoForm>(std::move(form));
}

std::string EntityTag(const keystore::DeliveryAnswer& answer) {
  Bytes fields;
  for (const DeliveredVersion& key : answer.keys) {
    AppendField(fields, key.version.kid.value());
    AppendField(fields, Name(key.version.state));
    AppendField(fields, key.version.not_before);
    AppendField(fields, key.version.not_after.value_or(-1));
    AppendField(fields, key.recipient);
    AppendField(fields, key.wrapped ? key.wrapped->alg : std::string());
  }
  for (const keystore::DeliveredPayload& delivered : answer.payloads) {
    AppendField(fields, delivered.payload.id);
    AppendField(fields, delivered.recipient);
    AppendField(fields, delivered.content_key ? delivered.content_key->alg : std::string());
  }
  const Sha256Digest digest = Sha256(fields);
  return "W/\"" + ToBase64Url(ByteView(digest).first(16)) + "\"";
}

}  // namespace skms::seal
