#include "api/seal/jwe.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "api/http/json.h"
#include "base/encoding.h"

namespace skms::seal {
namespace {

using nlohmann::json;

constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kNonceBytes = 12;

/// A JWE of any serialization, its parts still base64url; `header` joins what is protected and what is not.
struct Parts {
  json header = json::object();
  std::string protected_header;
  std::string aad;
  std::string encrypted_key, iv, ciphertext, tag;
};

std::optional<json> ParseObject(std::string_view text) {
  auto parsed = http::ParseJson(text, {.max_bytes = text.size() + 1, .max_depth = 8});
  if (parsed.has_error() || !parsed.value().is_object()) return std::nullopt;
  return std::move(parsed).value();
}

std::optional<json> DecodeHeader(std::string_view part) {
  const auto octets = FromBase64Url(part);
  if (!octets) return std::nullopt;
  return ParseObject(AsText(*octets));
}

std::optional<Parts> ReadCompact(const std::string& text) {
  if (std::count(text.begin(), text.end(), '.') != 4) return std::nullopt;
  std::array<std::string, 5> words;
  std::size_t from = 0;
  for (std::string& word : words) {
    const std::size_t dot = std::min(text.find('.', from), text.size());
    word = text.substr(from, dot - from);
    from = dot + 1;
  }
  auto header = DecodeHeader(words[0]);
  if (!header) return std::nullopt;
  return Parts{std::move(*header), words[0], words[0], words[1], words[2], words[3], words[4]};
}

/// Takes every member of `more` over; false when one is there already (RFC 7516 7.2.1).
bool Join(json& header, const json& more) {
  if (!more.is_object()) return false;
  return std::all_of(more.items().begin(), more.items().end(), [&](const auto& member) {
    if (header.contains(member.key())) return false;
    header[member.key()] = member.value();
    return true;
  });
}

std::string Text(const json& object, const char* name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

/// The generation of "skms-transfer-<n>"; 0: it is none that this server has or had.
std::uint32_t GenerationOf(const std::string& kid, const TransferKeys& ours) {
  for (std::uint32_t generation = ours.generations.back(); generation > 0; --generation) {
    if (kid == TransferKeyId(generation)) return generation;
  }
  return 0;
}

std::optional<Parts> ReadJson(const std::string& text, const TransferKeys& ours) {
  const auto object = ParseObject(text);
  if (!object || !object->contains("ciphertext")) return std::nullopt;
  Parts parts;
  parts.protected_header = Text(*object, "protected");
  if (!parts.protected_header.empty()) {
    auto header = DecodeHeader(parts.protected_header);
    if (!header) return std::nullopt;
    parts.header = std::move(*header);
  }
  if (object->contains("unprotected") && !Join(parts.header, (*object)["unprotected"])) return std::nullopt;
  const json flattened = json::array({*object});
  const json& recipients = object->contains("recipients") ? (*object)["recipients"] : flattened;
  if (!recipients.is_array()) return std::nullopt;
  for (const json& recipient : recipients) {
    json header = parts.header;
    if (!recipient.is_object()) return std::nullopt;
    if (recipient.contains("header") && !Join(header, recipient["header"])) return std::nullopt;
    if (GenerationOf(Text(header, "kid"), ours) == 0) continue;
    parts.header = std::move(header);
    parts.encrypted_key = Text(recipient, "encrypted_key");
    parts.iv = Text(*object, "iv");
    parts.ciphertext = Text(*object, "ciphertext");
    parts.tag = Text(*object, "tag");
    parts.aad = parts.protected_header + (object->contains("aad") ? "." + Text(*object, "aad") : "");
    return parts;
  }
  return std::nullopt;
}

Result<hsm::TransferredPayload> Decode(const Parts& parts, std::uint32_t generation,
                                       const TransferKeys& ours) {
  if (std::find(ours.generations.begin(), ours.generations.end(), generation) == ours.generations.end())
    return InvalidArgument("is a JWE to " + TransferKeyId(generation) +
                           ", which is gone; fetch the published key again");
  if (Text(parts.header, "alg") != ours.alg)
    return InvalidArgument("is a JWE to our transfer key whose alg is not " + ours.alg);
  if (Text(parts.header, "enc") != "A256GCM")
    return InvalidArgument("is a JWE to our transfer key whose enc is not A256GCM");
  for (const char* member : {"crit", "zip"}) {
    if (parts.header.contains(member))
      return InvalidArgument(std::string("is a JWE with ") + member + ", which is not taken");
  }
  const auto key = FromBase64Url(parts.encrypted_key);
  const auto nonce = FromBase64Url(parts.iv);
  const auto ciphertext = FromBase64Url(parts.ciphertext);
  const auto tag = FromBase64Url(parts.tag);
  if (!key || !nonce || !ciphertext || !tag || nonce->size() != kNonceBytes || tag->size() != kTagBytes)
    return InvalidArgument("is a JWE whose parts are not base64url of the length of A256GCM");
  hsm::TransferredPayload payload{*key, *nonce, {}, *ciphertext, generation};
  payload.aad.assign(parts.aad.begin(), parts.aad.end());
  payload.ciphertext.insert(payload.ciphertext.end(), tag->begin(), tag->end());
  return payload;
}

}  // namespace

std::string TransferKeyId(std::uint32_t generation) { return "skms-transfer-" + std::to_string(generation); }

std::optional<Result<hsm::TransferredPayload>> ReadJweForUs(ByteView octets, const TransferKeys& ours) {
  const std::string text = AsText(octets);
  auto parts = !text.empty() && text.front() == '{' ? ReadJson(text, ours) : ReadCompact(text);
  const std::uint32_t generation = parts ? GenerationOf(Text(parts->header, "kid"), ours) : 0;
  if (generation == 0) return std::nullopt;
  return Decode(*parts, generation, ours);
}

Result<json> EncodeJwe(const keystore::DeliveredPayload& delivered) {
  if (!delivered.content_key) return InternalError("a delivered payload carries no content key");
  const ByteView sealed(delivered.payload.sealed.ciphertext);
  return json{{"protected", delivered.payload.protected_header},
              {"header", {{"alg", delivered.content_key->alg}, {"kid", delivered.recipient}}},
              {"encrypted_key", ToBase64Url(delivered.content_key->encrypted_key)},
              {"iv", ToBase64Url(delivered.payload.sealed.nonce)},
              {"ciphertext", ToBase64Url(sealed.first(sealed.size() - kTagBytes))},
              {"tag", ToBase64Url(sealed.last(kTagBytes))}};
}

}  // namespace skms::seal
