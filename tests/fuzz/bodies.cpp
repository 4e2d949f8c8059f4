// JSON bodies: the parser under small limits, and what the reference points and the admin API read out of it.
#include <nlohmann/json.hpp>

#include "api/admin/entry_json.h"
#include "api/http/json.h"
#include "api/seal/group_document.h"
#include "api/seal/km_message.h"
#include "api/seal/val_target.h"
#include "base/document_sizes.h"
#include "base/encoding.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

using http::ProblemDetails;
using nlohmann::json;

std::size_t DepthOf(const json& value) {
  std::size_t deepest = 0;
  if (value.is_structured()) {
    for (const json& one : value) deepest = std::max(deepest, DepthOf(one));
    ++deepest;
  }
  return deepest;
}

std::size_t CountValues(const json& value) {
  std::size_t count = 1;
  if (value.is_structured()) {
    for (const json& one : value) count += CountValues(one);
  }
  return count;
}

std::size_t CountMembers(const json& value) {
  std::size_t count = value.is_object() ? value.size() : 0;
  if (value.is_structured()) {
    for (const json& one : value) count += CountMembers(one);
  }
  return count;
}

/// As they stand in the text, where a value would show the last of two with one name.
std::size_t CountNames(std::string_view text) {
  std::size_t names = 0;
  const auto count = [&names](int /*depth*/, json::parse_event_t event, json& /*parsed*/) {
    names += event == json::parse_event_t::key ? 1U : 0U;
    return true;
  };
  Require(!json::parse(text.begin(), text.end(), count, false).is_discarded(), "what is taken is JSON", text);
  return names;
}

/// With limits that an input of some bytes can pass.
void CheckParser(std::string_view input) {
  const http::JsonLimits limits{.max_bytes = 2048, .max_depth = 4, .max_values = 16};
  const auto parsed = http::ParseJson(input, limits);
  if (parsed.has_error()) {
    const bool large = input.size() > limits.max_bytes;
    Require(parsed.error().code == (large ? ErrorCode::kTooLarge : ErrorCode::kInvalidArgument),
            "what is too large is told so, and no other", parsed.error().detail);
    return;
  }
  const json& value = parsed.value();
  Require(DepthOf(value) <= limits.max_depth, "nothing is nested deeper than accepted", input);
  Require(CountValues(value) <= 2 * limits.max_values, "there are no more values than accepted", input);
  Require(CountMembers(value) == CountNames(input), "no member stands twice", input);
  const auto again = http::ParseJson(value.dump(), limits);
  Require(again.has_value() && again.value() == value, "written again it is the same value", input);
}

void CheckProblem(const ProblemDetails& problem) {
  Require(problem.status == 400 || problem.status == 403, "a body that is refused is the client's error",
          std::to_string(problem.status));
  Require(!problem.title.empty() && !problem.detail.empty(), "a refusal says why", problem.detail);
  const http::Response response = http::ToResponse(problem, "0123456789abcdef");
  Require(json::accept(response.body), "a refusal can be read", response.body);
}

void CheckTarget(const keystore::Selector& selector) {
  const bool service = selector.kind == keystore::TargetKind::kService;
  Require(service == selector.target.empty(), "a target and its kind come together", selector.target);
  Require(service || keystore::CheckIdentifier("", selector.target).has_value(), "a target is an identifier",
          selector.target);
}

void CheckSeal(const json& body, std::string_view text) {
  static const std::vector<seal::ApiRoot> roots{seal::ParseApiRoot("https://skms.test:8443/a"),
                                                seal::ParseApiRoot("https://other.test")};
  seal::KmMessage message;
  const auto problem = seal::DecodeKmMessage(body, {roots, 1'800'000'000, 5}, message);
  if (problem) {
    CheckProblem(*problem);
  } else {
    CheckTarget(message.selector);
    Require(keystore::CheckIdentifier("", message.selector.service.value()).has_value(),
            "a service is an identifier", text);
    Require(message.date_time >= 1'799'999'995 && message.date_time <= 1'800'000'005, "a message is of now",
            std::to_string(message.date_time));
    for (const auto& [name, value] : seal::Echo(message.selector))
      Require(body[name] == value, "what is echoed is what was sent", name);
  }
  keystore::Selector selector;
  if (const auto refused = seal::DecodeValTargetUe(body, "/valTgtUe", "OPTIONAL_IE_INCORRECT", selector)) {
    CheckProblem(*refused);
  } else {
    CheckTarget(selector);
  }
}

void CheckGroup(std::string_view text) {
  const auto decoded = seal::DecodeGroupDocument(keystore::GroupId("g"), text);
  if (const auto* problem = std::get_if<ProblemDetails>(&decoded)) return CheckProblem(*problem);
  const auto& document = std::get<keystore::GroupDocument>(decoded);
  Require(!document.services.empty() && document.services.size() <= keystore::kMaxGroupServices,
          "a group has services", text);
  Require(!document.members.empty() && document.members.size() <= keystore::kMaxGroupMembers,
          "a group has members", text);
  keystore::GroupView view;
  view.record.id = document.id;
  view.record.services = document.services;
  view.members = document.members;
  const auto again = seal::DecodeGroupDocument(document.id, seal::EncodeGroup(view));
  Require(std::holds_alternative<keystore::GroupDocument>(again) &&
              std::get<keystore::GroupDocument>(again).members == document.members,
          "a group that is shown can be put", text);
}

/// `read` either takes the body or names a member that is wrong.
template <class Read>
auto Taken(const json& body, const Read& read) {
  admin::InvalidParams invalid;
  auto taken = read(body, invalid);
  if (taken.has_error()) {
    Require(taken.error().code == ErrorCode::kInvalidArgument && !taken.error().detail.empty(),
            "a refused entry says why", taken.error().detail);
    Require(!invalid.empty() || !body.is_object(), "a refused entry names its member", taken.error().detail);
  } else {
    Require(invalid.empty(), "nothing is wrong with an entry that is taken", body.dump());
  }
  return taken;
}

void CheckAdmin(const json& body) {
  if (const auto service = Taken(body, admin::ServiceFromJson); service.has_value()) {
    const auto again = Taken(admin::ToJson(service.value()), admin::ServiceFromJson);
    Require(again.has_value() && admin::ToJson(again.value()) == admin::ToJson(service.value()),
            "a service that is shown can be set", body.dump());
  }
  if (const auto issuer = Taken(body, admin::IssuerFromJson); issuer.has_value())
    Require(!admin::ToJson(issuer.value(), {}).dump().empty(), "an issuer can be shown", body.dump());
  if (const auto principal = Taken(body, admin::PrincipalFromJson); principal.has_value())
    Require(!admin::ToJson(principal.value()).dump().empty(), "a principal can be shown", body.dump());
  static_cast<void>(Taken(body, admin::RecipientFromJson));
  static_cast<void>(Taken(body, admin::RotationOrderFromJson));
  static_cast<void>(Taken(body, admin::KeyChangeFromJson));
}

void CheckAdminQuery(const std::string& text) {
  admin::InvalidParams invalid;
  if (const auto query = admin::KeyQueryFromText(text, invalid); query.has_value())
    Require(query.value().limit >= 1 && query.value().limit <= 1000, "a page has its bounds", text);
  if (const auto page = admin::PageFromText(text, invalid); page.has_value())
    Require(page.value().limit >= 1 && page.value().limit <= 1000, "a page has its bounds", text);
  if (const auto query = admin::PayloadQueryFromText(text, invalid); query.has_value())
    Require(query.value().page.limit >= 1 && query.value().page.limit <= 1000, "a page has its bounds", text);
}

void CheckBodies(std::string_view input) {
  CheckParser(input);
  CheckGroup(input);
  CheckAdminQuery(std::string(input));
  const auto parsed = http::ParseJson(input);
  if (parsed.has_error()) return;
  if (parsed.value().is_object()) CheckSeal(parsed.value(), input);
  CheckAdmin(parsed.value());
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(bodies, skms::fuzz::CheckBodies)
