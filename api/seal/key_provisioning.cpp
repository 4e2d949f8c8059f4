#include "api/seal/key_provisioning.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "api/http/json.h"
#include "api/http/negotiation.h"
#include "api/seal/km_message.h"
#include "api/seal/seal_problem.h"
#include "api/seal/val_target.h"
#include "base/document_sizes.h"
#include "base/encoding.h"

namespace skms::seal {
namespace {

using http::ProblemDetails;
using http::Request;
using http::RequestContext;
using http::Response;
using keystore::ProvisionOrder;
using nlohmann::json;

constexpr std::size_t kMaxUriBytes = 2048;
constexpr std::size_t kMaxFeatures = 64;  // hex digits
// AES-GCM is all that a token which the server started on can lack here.
constexpr std::string_view kCannotEncrypt =
    "this server's token cannot encrypt payloads; its administrator sees why with: skmsctl token probe";

ProblemDetails TooLarge(std::size_t most) {
  ProblemDetails problem = http::ProblemFor(ErrorCode::kTooLarge);
  problem.detail = "a payload has at most " + std::to_string(most) + " bytes here";
  problem.invalid_params.push_back({"/payload", "is larger than accepted"});
  return problem;
}

std::optional<ProblemDetails> DecodePayloadId(const json& body, std::string& out) {
  const auto member = body.find("payloadId");
  if (member == body.end()) return std::nullopt;
  if (!member->is_string() ||
      keystore::CheckIdentifier("", member->get_ref<const std::string&>()).has_error())
    return BadParameter(kOptionalIeIncorrect, "/payloadId",
                        "must be 1 to 255 bytes of UTF-8 without control characters");
  out = member->get<std::string>();
  return std::nullopt;
}

/// SupportedFeatures (TS 29.571): hex digits. This API has no optional feature, so none is in common.
std::optional<ProblemDetails> DecodeFeatures(const json& body, bool& asked) {
  const auto member = body.find("suppFeat");
  asked = member != body.end();
  if (!asked) return std::nullopt;
  const bool hex =
      member->is_string() && member->get_ref<const std::string&>().size() <= kMaxFeatures &&
      member->get_ref<const std::string&>().find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (hex) return std::nullopt;
  return BadParameter(kOptionalIeIncorrect, "/suppFeat", "must be hexadecimal digits");
}

class KeyProvisioning {
 public:
  KeyProvisioning(KeyProvisioningOptions options, ReceptionOptions reception, SealDependencies dependencies)
      : options_(std::move(options)), reception_(std::move(reception), dependencies) {
    roots_.push_back(ParseApiRoot(reception_.options().api_root));
    for (const std::string& root : options_.other_roots) roots_.push_back(ParseApiRoot(root));
  }

  using Action = Response (KeyProvisioning::*)(const Call&, const json&);

  std::string Path(const std::string& rest) const { return reception_.Path(rest); }
  std::size_t max_body_bytes() const { return ProvisioningDocumentBytes(options_.max_payload_bytes); }

  Response Serve(Action action, const Request& request, const RequestContext& context,
                 const http::PathValues& values) {
    return reception_.Serve(request, context, values, [&](const Call& call) {
      if (!http::HasJsonBody(request)) return reception_.NotJson(call);
      const auto parsed = http::ParseJson(request.body, {.max_bytes = max_body_bytes(), .max_depth = 16});
      if (parsed.has_error() || !parsed.value().is_object())
        return reception_.Invalid(http::Problem(400, "Bad Request", "the body must be one JSON object"),
                                  call);
      return (this->*action)(call, parsed.value());
    });
  }

  /// SS_KMParametersProvisioning.
  Response PostRequest(const Call& call, const json& body) {
    auto client = TextMember(body, "skmcUri", kMaxUriBytes);
    if (const auto* problem = std::get_if<ProblemDetails>(&client)) return reception_.Invalid(*problem, call);
    auto service = TextMember(body, "valServiceId", keystore::kMaxIdentifierBytes);
    if (const auto* problem = std::get_if<ProblemDetails>(&service))
      return reception_.Invalid(*problem, call);
    ProvisionOrder order;
    order.selector.service = keystore::ValServiceId(std::get<std::string>(service));
    bool features = false;
    std::optional<ProblemDetails> problem;
    if (body.contains("valTgtUe"))
      problem = DecodeValTargetUe(body["valTgtUe"], "/valTgtUe", kOptionalIeIncorrect, order.selector);
    if (!problem) problem = DecodeFeatures(body, features);
    if (!problem) problem = DecodeOrder(body, order);
    if (problem) return reception_.Invalid(*problem, call);
    json out{{"skmcUri", std::get<std::string>(client)},
             {"valServiceId", std::get<std::string>(service)},
             {"skmsId", options_.skms_id}};
    if (body.contains("valTgtUe")) {
      const bool user = order.selector.kind == keystore::TargetKind::kUser;
      out["valTgtUe"] = {{user ? "valUserId" : "valUeId", order.selector.target}};
    }
    if (body.contains("payloadId")) out["payloadId"] = order.payload_id;
    if (features) out["suppFeat"] = "0";
    return Provision(call, std::move(order), out, {});
  }

  /// KP Request.
  Response PostKeyProvisioning(const Call& call, const json& body) {
    const std::int64_t now = reception_.dependencies().clock.NowSeconds();
    KmMessage message;
    std::optional<ProblemDetails> problem =
        DecodeKmMessage(body, {roots_, now, reception_.options().time_window_ms / 1000}, message);
    auto client = TextMember(body, "sValClientUri", kMaxUriBytes);
    if (!problem && std::holds_alternative<ProblemDetails>(client))
      problem = std::get<ProblemDetails>(client);
    ProvisionOrder order;
    order.selector = message.selector;
    if (!problem) problem = DecodeOrder(body, order);
    json out{{"skmsUri", reception_.options().api_root}, {"skmsId", options_.skms_id}, {"dateTime", now}};
    http::ProblemMembers members{
        {"skmsUri", reception_.options().api_root}, {"skmsId", options_.skms_id}, {"dateTime", now}};
    if (const auto* uri = std::get_if<std::string>(&client)) {
      out["sValKmcUri"] = *uri;
      members.emplace_back("sValKmcUri", *uri);
    }
    if (!message.selector.service.value().empty()) {
      for (const auto& [name, value] : Echo(message.selector)) {
        out[name] = value;
        members.emplace_back(name, value);
      }
    }
    if (!order.payload_id.empty()) {
      out["payloadId"] = order.payload_id;
      members.emplace_back("payloadId", order.payload_id);
    }
    if (problem) {
      problem->members = std::move(members);
      return reception_.Invalid(*problem, call);
    }
    return Provision(call, std::move(order), out, std::move(members));
  }

 private:
  /// "payloadId" and "payload". The payload is mandatory, as in table 5.8.2-1 (in VALKeyPpReq no condition is
  /// stated).
  std::optional<ProblemDetails> DecodeOrder(const json& body, ProvisionOrder& order) const {
    if (keystore::CheckIdentifier("", order.selector.service.value()).has_error())
      return BadParameter(kMandatoryIeIncorrect, "/valServiceId",
                          "must be 1 to 255 bytes of UTF-8 without control characters");
    if (auto problem = DecodePayloadId(body, order.payload_id)) return problem;
    const auto member = body.find("payload");
    if (member == body.end()) return BadParameter(kMandatoryIeMissing, "/payload", "is missing");
    if (!member->is_string()) return BadParameter(kMandatoryIeIncorrect, "/payload", "must be a string");
    auto octets = FromBase64(member->get_ref<const std::string&>());
    if (!octets) return BadParameter(kMandatoryIeIncorrect, "/payload", "is not base64 (RFC 4648 4)");
    if (octets->empty()) return BadParameter(kMandatoryIeIncorrect, "/payload", "is empty");
    if (octets->size() > options_.max_payload_bytes) return TooLarge(options_.max_payload_bytes);
    if (auto encrypted = ReadJweForUs(*octets, options_.transfer_keys())) {
      if (encrypted->has_error())
        return BadParameter(kMandatoryIeIncorrect, "/payload", encrypted->error().detail);
      order.encrypted = std::move(*encrypted).value();
    }
    order.sent = SecretBytes::TakeFrom(*octets);
    return std::nullopt;
  }

  Response Provision(const Call& call, ProvisionOrder order, const json& out, http::ProblemMembers members) {
    const auth::ProvisioningGrant& grant = call.principal.provisioning;
    const std::string& service = order.selector.service.value();
    order.granted =
        grant.all || std::find(grant.services.begin(), grant.services.end(), service) != grant.services.end();
    const auto done = reception_.dependencies().store.Provision(call.by(), order);
    if (done.has_error())
      return Reception::Fail(done.error(), call.context, std::move(members), kCannotEncrypt);
    if (!done.value().service.access.home.empty())
      return reception_.Redirect(done.value().service, call.request);
    return http::JsonAnswer(200, out.dump());
  }

  const KeyProvisioningOptions options_;
  const Reception reception_;
  std::vector<ApiRoot> roots_;
};

}  // namespace

void RegisterKeyProvisioning(http::Api& api, KeyProvisioningOptions options, ReceptionOptions reception,
                             SealDependencies dependencies) {
  auto resource = std::make_shared<KeyProvisioning>(std::move(options), std::move(reception), dependencies);
  for (const auto& [path, action] :
       {std::pair("/ss-kpp/v1/request", &KeyProvisioning::PostRequest),
        std::pair("/skm/v1/key-provisioning", &KeyProvisioning::PostKeyProvisioning)}) {
    const KeyProvisioning::Action serve = action;
    api.Add(
        "POST", resource->Path(path),
        [resource, serve](const Request& request, RequestContext& context, const http::PathValues& values) {
          return resource->Serve(serve, request, context, values);
        },
        {.max_body_bytes = resource->max_body_bytes()});
  }
}

}  // namespace skms::seal
