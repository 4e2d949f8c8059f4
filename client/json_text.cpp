#include "client/json_text.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"
#include "base/secret_bytes.h"

namespace skms::client {

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
