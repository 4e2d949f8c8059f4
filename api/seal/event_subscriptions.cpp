#include "api/seal/event_subscriptions.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <variant>

#include "api/auth/certificate.h"
#include "api/http/json.h"
#include "api/http/negotiation.h"
#include "api/seal/seal_problem.h"
#include "base/encoding.h"

namespace skms::seal {
namespace {

using http::PathValues;
using http::ProblemDetails;
using http::Request;
using http::RequestContext;
using http::Response;
using keystore::Subscription;
using nlohmann::json;

constexpr const char* kDestination = "notificationDestination";
constexpr const char* kCa = "caCertificates";

/// https, a host, no user name, no fragment, and nothing that is no URI character (RFC 3986).
bool IsDestination(const std::string& uri) {
  constexpr std::string_view kScheme = "https://";
  constexpr std::string_view kAllowed = "-._~:/?[]@!$&'()*+,;=%";
  if (uri.rfind(kScheme, 0) != 0 || uri.size() > keystore::kMaxIdentifierBytes) return false;
  const std::string authority =
      uri.substr(kScheme.size(), uri.find_first_of("/?", kScheme.size()) - kScheme.size());
  if (authority.empty() || authority.front() == ':' || authority.find('@') != std::string::npos) return false;
  return std::all_of(uri.begin(), uri.end(), [&](char c) {
    const bool letter_or_digit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter_or_digit || kAllowed.find(c) != std::string_view::npos;
  });
}

std::string NewId() {
  std::array<std::uint8_t, 12> octets{};
  // Names a resource of its principal alone; uniqueness is checked when it is stored.
  RAND_bytes(octets.data(), static_cast<int>(octets.size()));
  return ToHex(octets);
}

std::variant<Subscription, ProblemDetails> Decode(const std::string& body) {
  const auto parsed = http::ParseJson(body);
  if (parsed.has_error() || !parsed.value().is_object())
    return http::Problem(400, "Bad Request", "the body must be one JSON object");
  const json& object = parsed.value();
  for (const char* member : {kDestination, kCa}) {
    const std::string pointer = std::string("/") + member;
    if (!object.contains(member)) return BadParameter(kMandatoryIeMissing, pointer, "is missing");
    if (!object[member].is_string()) return BadParameter(kMandatoryIeIncorrect, pointer, "must be a string");
  }
  Subscription subscription;
  subscription.destination = object[kDestination].get<std::string>();
  subscription.ca = object[kCa].get<std::string>();
  if (!IsDestination(subscription.destination)) {
    return BadParameter(kMandatoryIeIncorrect, std::string("/") + kDestination,
                        "must be an https URI of at most 255 bytes without user name and fragment");
  }
  if (!auth::IsCertificateBundle(subscription.ca)) {
    return BadParameter(kMandatoryIeIncorrect, std::string("/") + kCa,
                        "must be one or more certificates in PEM and nothing else");
  }
  return subscription;
}

json ToJson(const Subscription& subscription) {
  return {{"subscriptionId", subscription.id.value()}, {kDestination, subscription.destination}};
}

class EventSubscriptions {
 public:
  EventSubscriptions(ReceptionOptions options, SealDependencies dependencies)
      : reception_(std::move(options), dependencies) {}

  using Action = Response (EventSubscriptions::*)(const Call&);

  std::string Path(const std::string& rest) const {
    return reception_.Path("/skms-events/v1/subscriptions" + rest);
  }

  Response Serve(Action action, const Request& request, const RequestContext& context,
                 const PathValues& values) {
    return reception_.Serve(request, context, values,
                            [&](const Call& call) { return (this->*action)(call); });
  }

  Response Add(const Call& call) {
    if (!http::HasJsonBody(call.request)) return reception_.NotJson(call);
    auto decoded = Decode(call.request.body);
    if (const auto* problem = std::get_if<ProblemDetails>(&decoded))
      return reception_.Invalid(*problem, call);
    auto& subscription = std::get<Subscription>(decoded);
    subscription.id = keystore::SubscriptionId(NewId());
    subscription.principal = keystore::PrincipalId(call.principal.id);
    subscription.created = reception_.dependencies().clock.NowSeconds();
    const Status added = Store().AddSubscription(call.by(), subscription);
    if (added.has_error()) return Failed(added.error(), call);
    Response response = http::JsonAnswer(201, ToJson(subscription).dump());
    response.headers.Set("Location", reception_.options().api_root + "/skms-events/v1/subscriptions/" +
                                         subscription.id.value());
    return response;
  }

  Response List(const Call& call) {
    json own = json::array();
    for (const Subscription& subscription : Store().Subscriptions()) {
      if (subscription.principal.value() == call.principal.id) own.push_back(ToJson(subscription));
    }
    return http::JsonAnswer(200, own.dump());
  }

  Response Get(const Call& call) {
    const auto own = Own(call);
    return own ? http::JsonAnswer(200, ToJson(*own).dump())
               : Failed(NotFound("no subscription of this principal"), call);
  }

  Response Remove(const Call& call) {
    const auto own = Own(call);
    if (!own) return Failed(NotFound("no subscription of this principal"), call);
    const Status removed = Store().RemoveSubscription(call.by(), own->id);
    if (removed.has_error()) return Failed(removed.error(), call);
    Response response;
    response.status = 204;
    return response;
  }

 private:
  keystore::KeyStore& Store() const { return reception_.dependencies().store; }

  std::optional<Subscription> Own(const Call& call) const {
    for (Subscription& subscription : Store().Subscriptions()) {
      if (subscription.id.value() == call.values[0] && subscription.principal.value() == call.principal.id)
        return std::move(subscription);
    }
    return std::nullopt;
  }

  /// The directory audits what it did, not what it refused.
  Response Failed(const Error& error, const Call& call) const {
    ProblemDetails problem = http::ProblemFor(error.code);
    if (error.code == ErrorCode::kConflict)
      problem.detail = "as many subscriptions as a principal may have; remove one first";
    if (problem.status >= 500) return Reception::Fail(error, call.context);
    return reception_.Refuse(problem, call.principal.id, std::string(Name(error.code)), call.context);
  }

  const Reception reception_;
};

}  // namespace

void RegisterEventSubscriptions(http::Api& api, ReceptionOptions options, SealDependencies dependencies) {
  auto resource = std::make_shared<EventSubscriptions>(std::move(options), dependencies);
  const auto add = [&](const char* method, const char* rest, EventSubscriptions::Action action) {
    api.Add(method, resource->Path(rest),
            [resource, action](const Request& request, RequestContext& context, const PathValues& values) {
              return resource->Serve(action, request, context, values);
            });
  };
  add("POST", "", &EventSubscriptions::Add);
  add("GET", "", &EventSubscriptions::List);
  add("GET", "/{subscriptionId}", &EventSubscriptions::Get);
  add("DELETE", "/{subscriptionId}", &EventSubscriptions::Remove);
}

}  // namespace skms::seal
