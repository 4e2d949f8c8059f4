#include "api/seal/val_target.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "api/http/json.h"
#include "api/http/query.h"
#include "api/seal/seal_problem.h"

namespace skms::seal {
namespace {

using keystore::Selector;
using keystore::TargetKind;

constexpr const char* kService = "val-service-id";
constexpr const char* kTarget = "val-tgt-ue";
constexpr const char* kUser = "valUserId";
constexpr const char* kUe = "valUeId";

constexpr const char* kMandatoryMissing = "MANDATORY_QUERY_PARAM_MISSING";
constexpr const char* kMandatoryIncorrect = "MANDATORY_QUERY_PARAM_INCORRECT";
constexpr const char* kOptionalIncorrect = "OPTIONAL_QUERY_PARAM_INCORRECT";
constexpr const char* kInvalidQuery = "INVALID_QUERY_PARAM";

/// The four parameters this resource knows, each at most once.
struct Parameters {
  std::optional<std::string> service;
  std::optional<std::string> target;
  std::optional<std::string> user;
  std::optional<std::string> ue;
};

std::string IncorrectCause(std::string_view name) {
  return name == kService ? kMandatoryIncorrect : kOptionalIncorrect;
}

std::optional<http::ProblemDetails> Collect(const http::QueryParameters& query, Parameters& out) {
  for (const auto& [name, value] : query) {
    std::optional<std::string>* slot = name == kService  ? &out.service
                                       : name == kTarget ? &out.target
                                       : name == kUser   ? &out.user
                                       : name == kUe     ? &out.ue
                                                         : nullptr;
    if (slot == nullptr) {
      return BadParameter(kInvalidQuery, "query", "holds a parameter this resource does not know");
    }
    if (slot->has_value()) return BadParameter(IncorrectCause(name), name, "stands more than once");
    *slot = value;
  }
  return std::nullopt;
}

std::optional<http::ProblemDetails> SetTarget(const char* param, TargetKind kind, std::string value,
                                              Selector& out) {
  if (keystore::CheckIdentifier(param, value).has_error()) {
    return BadParameter(kOptionalIncorrect, param,
                        "must be 1 to 255 bytes of UTF-8 without control characters");
  }
  out.kind = kind;
  out.target = std::move(value);
  return std::nullopt;
}

std::optional<http::ProblemDetails> DecodeJsonTarget(const std::string& text, Selector& out) {
  const auto parsed = http::ParseJson(text, {.max_bytes = 4096, .max_depth = 4});
  if (parsed.has_error()) return BadParameter(kOptionalIncorrect, kTarget, "is not a JSON object");
  return DecodeValTargetUe(parsed.value(), kTarget, kOptionalIncorrect, out);
}

std::optional<http::ProblemDetails> DecodeTarget(Parameters& parameters, Selector& out) {
  const bool exploded = parameters.user.has_value() || parameters.ue.has_value();
  if (parameters.target && exploded) {
    return BadParameter(kOptionalIncorrect, kTarget, "must not stand beside valUserId or valUeId");
  }
  if (parameters.user && parameters.ue) {
    return BadParameter(kOptionalIncorrect, kUser, "must not stand beside valUeId");
  }
  if (parameters.target) return DecodeJsonTarget(*parameters.target, out);
  if (parameters.user) return SetTarget(kUser, TargetKind::kUser, std::move(*parameters.user), out);
  if (parameters.ue) return SetTarget(kUe, TargetKind::kUe, std::move(*parameters.ue), out);
  return std::nullopt;
}

}  // namespace

std::optional<http::ProblemDetails> DecodeValTargetUe(const nlohmann::json& target, const std::string& at,
                                                      const std::string& cause, Selector& out) {
  if (!target.is_object()) return BadParameter(cause, at, "is not a JSON object");
  const bool has_user = target.contains(kUser);
  if (has_user == target.contains(kUe))
    return BadParameter(cause, at, "must hold exactly one of valUserId and valUeId");
  const char* name = has_user ? kUser : kUe;
  const std::string param = at + "/" + name;
  const nlohmann::json& value = target[name];
  if (!value.is_string()) return BadParameter(cause, param, "must be a string");
  if (keystore::CheckIdentifier(param, value.get_ref<const std::string&>()).has_error())
    return BadParameter(cause, param, "must be 1 to 255 bytes of UTF-8 without control characters");
  out.kind = has_user ? TargetKind::kUser : TargetKind::kUe;
  out.target = value.get<std::string>();
  return std::nullopt;
}

std::variant<Selector, http::ProblemDetails> DecodeSelector(std::string_view query) {
  const auto pairs = http::ParseQuery(query);
  if (pairs.has_error()) {
    const std::string& name = pairs.error().detail;
    const bool known = name == kService || name == kTarget || name == kUser || name == kUe;
    return BadParameter(known ? IncorrectCause(name) : kInvalidQuery, known ? name : "query",
                        "must be percent-encoded UTF-8 without control characters");
  }
  Parameters parameters;
  if (auto problem = Collect(pairs.value(), parameters)) return std::move(*problem);
  if (!parameters.service) return BadParameter(kMandatoryMissing, kService, "is missing");

  Selector selector;
  if (keystore::CheckIdentifier(kService, *parameters.service).has_error()) {
    return BadParameter(kMandatoryIncorrect, kService,
                        "must be 1 to 255 bytes of UTF-8 without control characters");
  }
  selector.service = keystore::ValServiceId(std::move(*parameters.service));
  if (auto problem = DecodeTarget(parameters, selector)) return std::move(*problem);
  return selector;
}

}  // namespace skms::seal
