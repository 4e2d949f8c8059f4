#include "api/seal/km_message.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/seal/seal_problem.h"

namespace skms::seal {
namespace {

using http::ProblemDetails;
using keystore::TargetKind;
using nlohmann::json;

constexpr const char* kVersion = "1.0.0";
constexpr const char* kIdentifierRule = "must be 1 to 255 bytes of UTF-8 without control characters";
constexpr std::array<std::pair<const char*, TargetKind>, 3> kTargets = {
    {{"clientId", TargetKind::kClient}, {"deviceId", TargetKind::kUe}, {"userId", TargetKind::kUser}}};

std::string Pointer(const char* name) { return std::string("/") + name; }

std::optional<ProblemDetails> DecodeTarget(const json& body, keystore::Selector& selector) {
  for (const auto& [name, kind] : kTargets) {
    const auto member = body.find(name);
    if (member == body.end()) continue;
    if (selector.kind != TargetKind::kService)
      return BadParameter(kOptionalIeIncorrect, Pointer(name), "must not stand beside another identity");
    if (!member->is_string() ||
        keystore::CheckIdentifier(name, member->get_ref<const std::string&>()).has_error())
      return BadParameter(kOptionalIeIncorrect, Pointer(name), kIdentifierRule);
    selector.kind = kind;
    selector.target = member->get<std::string>();
  }
  return std::nullopt;
}

std::optional<ProblemDetails> CheckDateTime(const json& body, const KmExpectation& expected,
                                            std::int64_t& out) {
  const auto member = body.find("dateTime");
  if (member == body.end()) return BadParameter(kMandatoryIeMissing, "/dateTime", "is missing");
  const bool fits = member->is_number_integer() &&
                    !(member->is_number_unsigned() && member->get<std::uint64_t>() > INT64_MAX) &&
                    member->get<std::int64_t>() >= 0;
  if (!fits) return BadParameter(kMandatoryIeIncorrect, "/dateTime", "must be whole seconds since 1970");
  out = member->get<std::int64_t>();
  // Both are not negative, so the difference does not overflow.
  const std::int64_t apart = out > expected.now ? out - expected.now : expected.now - out;
  if (apart <= expected.window) return std::nullopt;
  ProblemDetails problem = BadParameter("", "/dateTime", "is outside the accepted time window");
  problem.status = 403;
  problem.title = "Forbidden";
  return problem;
}

}  // namespace

std::variant<std::string, ProblemDetails> TextMember(const json& body, const char* name, std::size_t most) {
  const auto member = body.find(name);
  if (member == body.end()) return BadParameter(kMandatoryIeMissing, Pointer(name), "is missing");
  if (!member->is_string()) return BadParameter(kMandatoryIeIncorrect, Pointer(name), "must be a string");
  std::string text = member->get<std::string>();
  const bool plain = std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F;
  });
  if (text.empty() || text.size() > most || !plain) {
    return BadParameter(kMandatoryIeIncorrect, Pointer(name),
                        "must be 1 to " + std::to_string(most) + " bytes without control characters");
  }
  return text;
}

std::optional<ProblemDetails> DecodeKmMessage(const json& body, const KmExpectation& expected,
                                              KmMessage& out) {
  auto service = TextMember(body, "serviceId", keystore::kMaxIdentifierBytes);
  if (auto* problem = std::get_if<ProblemDetails>(&service)) return std::move(*problem);
  if (keystore::CheckIdentifier("", std::get<std::string>(service)).has_error())
    return BadParameter(kMandatoryIeIncorrect, "/serviceId", kIdentifierRule);
  out.selector.service = keystore::ValServiceId(std::move(std::get<std::string>(service)));
  if (auto problem = DecodeTarget(body, out.selector)) return problem;

  auto version = TextMember(body, "version", 16);
  if (auto* problem = std::get_if<ProblemDetails>(&version)) return std::move(*problem);
  if (std::get<std::string>(version) != kVersion)
    return BadParameter(kMandatoryIeIncorrect, "/version", "must be \"1.0.0\", the only one there is");
  auto uri = TextMember(body, "skmsUri", 2048);
  if (auto* problem = std::get_if<ProblemDetails>(&uri)) return std::move(*problem);
  out.skms_uri = std::move(std::get<std::string>(uri));
  const bool ours = std::any_of(expected.roots.begin(), expected.roots.end(),
                                [&](const ApiRoot& root) { return SameRoot(out.skms_uri, root); });
  if (!ours) {
    return BadParameter(kMandatoryIeIncorrect, "/skmsUri",
                        "does not name this key management server; use " + expected.roots.front().uri);
  }
  return CheckDateTime(body, expected, out.date_time);
}

std::vector<std::pair<std::string, std::string>> Echo(const keystore::Selector& selector) {
  std::vector<std::pair<std::string, std::string>> members{{"serviceId", selector.service.value()}};
  for (const auto& [name, kind] : kTargets) {
    if (kind == selector.kind) members.emplace_back(name, selector.target);
  }
  return members;
}

}  // namespace skms::seal
