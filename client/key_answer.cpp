#include "client/key_answer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"

namespace skms::client {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

Result<Bytes> Octets(const json& object, const char* name) {
  auto octets = FromBase64Url(Text(object, name));
  if (!octets) return IntegrityError(std::string("the answer's '") + name + "' is not base64url");
  return std::move(*octets);
}

bool IsForQuery(const json& key, const KeyQuery& query) {
  if (Text(key, "service") != query.service) return false;
  const bool has_target = !query.user.empty() || !query.ue.empty();
  if (has_target && Text(key, "scope") == "group") return !Text(key, "target").empty();
  const std::string scope = query.user.empty() ? (query.ue.empty() ? "service" : "ue") : "user";
  return Text(key, "scope") == scope && Text(key, "target") == query.user + query.ue;
}

Result<ReceivedKey> DecodeKey(const json& key) {
  ReceivedKey out;
  out.kid = Text(key, "kid");
  if (Text(key, "scope") == "group") out.group = Text(key, "target");
  out.alg = Text(key, "alg");
  out.state = Text(key, "state");
  out.not_before = key.value("nbf", std::int64_t{0});
  out.not_after = key.value("exp", std::int64_t{0});
  out.version = key.value("version", std::uint64_t{0});
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
  return out;
}

bool EchoesTarget(const json& info, const KeyQuery& query) {
  const auto target = info.find("valTgtUe");
  if (query.user.empty() && query.ue.empty()) return target == info.end();
  if (target == info.end() || !target->is_object()) return false;
  return Text(*target, "valUserId") == query.user && Text(*target, "valUeId") == query.ue;
}

Result<KeyAnswer> Decode(const std::string& body, const KeyQuery& query) {
  const json info = json::parse(body, nullptr, false);
  if (!info.is_object()) return IntegrityError("the answer is not JSON");
  if (Text(info, "valService") != query.service || !EchoesTarget(info, query)) {
    return IntegrityError("the answer is for another service or target than asked");
  }
  const json key_info = json::parse(Text(info, "keyInfo"), nullptr, false);
  if (!key_info.is_object() || !key_info.contains("keys") || !key_info["keys"].is_array() ||
      key_info["keys"].empty()) {
    return IntegrityError("the answer's keyInfo holds no keys");
  }
  KeyAnswer answer;
  answer.skms = Text(key_info, "skms");
  answer.user_uri = Text(info, "userUri");
  for (const json& key : key_info["keys"]) {
    if (!key.is_object() || !IsForQuery(key, query))
      return IntegrityError("the answer holds a key that was not asked for");
    SKMS_TRY(ReceivedKey decoded, DecodeKey(key));
    if (decoded.group == query.group) answer.keys.push_back(std::move(decoded));
  }
  if (answer.keys.empty()) {
    return NotFound(query.group.empty() ? "the answer holds keys of groups only; name one with --group"
                                        : "the answer holds no key of group '" + query.group + "'");
  }
  return answer;
}

}  // namespace

Result<KeyAnswer> DecodeAnswer(const std::string& body, const KeyQuery& query) {
  try {
    return Decode(body, query);
  } catch (const json::exception&) {
    return IntegrityError("the answer's members are of the wrong kind");
  }
}

std::string ProblemText(const std::string& body, const std::string& fallback) {
  const json problem = json::parse(body, nullptr, false);
  if (!problem.is_object()) return fallback;
  std::string text = Text(problem, "title");
  if (!Text(problem, "detail").empty()) text += ": " + Text(problem, "detail");
  if (!Text(problem, "cause").empty()) text += " (" + Text(problem, "cause") + ")";
  if (!Text(problem, "instance").empty()) text += " [" + Text(problem, "instance") + "]";
  return text.empty() ? fallback : text;
}

}  // namespace skms::client
