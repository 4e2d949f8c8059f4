// Query strings, and the selector of SS_KeyInfoRetrieval in them (TS 29.549 7.6.1).
#include "api/http/query.h"

#include <variant>

#include "api/seal/val_target.h"
#include "base/encoding.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

using keystore::Selector;
using keystore::TargetKind;

void CheckParameters(std::string_view input) {
  const auto parsed = http::ParseQuery(input);
  if (parsed.has_error()) {
    Require(parsed.error().code == ErrorCode::kInvalidArgument, "a bad query is the caller's", input);
    Require(!HasControl(parsed.error().detail) && IsValidUtf8(parsed.error().detail),
            "the name of a bad parameter can be printed", parsed.error().detail);
    return;
  }
  std::string again;
  for (const auto& [name, value] : parsed.value()) {
    Require(!HasControl(name) && !HasControl(value), "no control character comes through", value);
    Require(IsValidUtf8(name) && IsValidUtf8(value), "what comes through is UTF-8", value);
    again += PercentEncode(name) + "=" + PercentEncode(value) + "&";
  }
  const auto reparsed = http::ParseQuery(again);
  Require(reparsed.has_value() && reparsed.value() == parsed.value(), "encoded again it reads the same",
          again);
}

void CheckSelector(std::string_view input) {
  const auto decoded = seal::DecodeSelector(input);
  if (const auto* problem = std::get_if<http::ProblemDetails>(&decoded)) {
    Require(problem->status == 400 && !problem->detail.empty() && !problem->cause.empty(),
            "a refusal is a 400 with a cause and a reason", problem->detail);
    Require(problem->invalid_params.size() == 1, "a refusal names the parameter", problem->detail);
    return;
  }
  const auto& selector = std::get<Selector>(decoded);
  Require(keystore::CheckIdentifier("", selector.service.value()).has_value(), "the service is an identifier",
          selector.service.value());
  const bool whole_service = selector.kind == TargetKind::kService;
  Require(whole_service == selector.target.empty(), "only the service's own key has no target", input);
  std::string query = "val-service-id=" + PercentEncode(selector.service.value());
  if (!whole_service) {
    Require(selector.kind == TargetKind::kUser || selector.kind == TargetKind::kUe,
            "a query names users and UEs alone", input);
    Require(keystore::CheckIdentifier("", selector.target).has_value(), "the target is an identifier",
            selector.target);
    query +=
        (selector.kind == TargetKind::kUser ? "&valUserId=" : "&valUeId=") + PercentEncode(selector.target);
  }
  const auto again = seal::DecodeSelector(query);
  Require(std::holds_alternative<Selector>(again) && std::get<Selector>(again) == selector,
          "both forms of a target mean the same", query);
}

void CheckQuery(std::string_view input) {
  CheckParameters(input);
  CheckSelector(input);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(query, skms::fuzz::CheckQuery)
