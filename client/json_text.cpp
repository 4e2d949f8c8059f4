#include "client/json_text.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"
#include "base/secret_bytes.h"

namespace skms::client {

namespace {
constexpr int kMaxDepth = 16;
constexpr std::int64_t kMaxInteger = (std::int64_t{1} << 53) - 1;
}  // namespace

nlohmann::json ParseJson(const std::string& text) {
  bool too_deep = false;
  const auto shallow = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  nlohmann::json parsed = nlohmann::json::parse(text, shallow, false);
  return too_deep ? nlohmann::json(nlohmann::json::value_t::discarded) : parsed;
}

const nlohmann::json& Member(const nlohmann::json& object, const char* name) {
  static const nlohmann::json kNull;
  if (!object.is_object()) return kNull;
  const auto member = object.find(name);
  return member == object.end() ? kNull : *member;
}

Result<std::int64_t> Integer(const nlohmann::json& object, const char* name) {
  const nlohmann::json& member = Member(object, name);
  if (member.is_null()) return std::int64_t{0};
  if (!member.is_number_unsigned() || member.get<std::uint64_t>() > static_cast<std::uint64_t>(kMaxInteger))
    return IntegrityError(std::string("the answer's '") + name + "' is no number that it could be");
  return member.get<std::int64_t>();
}

std::string Text(const nlohmann::json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

Result<Bytes> Octets(const nlohmann::json& object, const char* name) {
  std::string text = Text(object, name);
  auto octets = FromBase64Url(text);
  Wipe(text);
  if (!octets) return IntegrityError(std::string("the answer's '") + name + "' is not base64url");
  return std::move(*octets);
}

}  // namespace skms::client
