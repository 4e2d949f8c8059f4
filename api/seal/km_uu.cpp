#include "api/seal/km_uu.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <variant>

#include "api/http/json.h"
#include "api/http/negotiation.h"
#include "api/seal/key_info.h"
#include "api/seal/km_message.h"
#include "api/seal/public_jwk.h"
#include "api/seal/receipt.h"
#include "api/seal/replay_guard.h"
#include "api/seal/seal_problem.h"
#include "base/digest.h"
#include "base/secret_bytes.h"

namespace skms::seal {
namespace {

using http::ProblemDetails;
using http::Request;
using http::RequestContext;
using http::Response;
using nlohmann::json;

constexpr const char* kRecipientKey = "recipientKey";

class KeyRequest {
 public:
  KeyRequest(KmUuOptions options, ReceptionOptions reception, SealDependencies dependencies)
      : options_(std::move(options)), reception_(std::move(reception), dependencies) {
    roots_.push_back(ParseApiRoot(reception_.options().api_root));
    for (const std::string& root : options_.other_roots) roots_.push_back(ParseApiRoot(root));
  }

  std::string path() const { return reception_.Path("/skm/v1/key-request"); }

  Response Post(const Request& request, const RequestContext& context) {
    return reception_.ServeUe(request, context, [&](const UeCall& call) { return Answer(call); });
  }

 private:
  Response Invalid(ProblemDetails problem, const UeCall& call, http::ProblemMembers members = {}) const {
    problem.members = std::move(members);
    return reception_.Refuse(problem, "ue", "request-invalid", call.context);
  }

  /// A refusal of a UE that is known: the audit chain says which, as a pseudonym.
  Response RefuseUe(ProblemDetails problem, const char* reason, const UeCall& call, const KmMessage& message,
                    const keystore::UeRequester& ue) const {
    const Status recorded = reception_.dependencies().store.RecordUeRefusal(ue, message.selector, reason);
    if (recorded.has_error()) return Reception::Fail(recorded.error(), call.context, Members(message));
    problem.members = Members(message);
    return http::ToResponse(WithSealErrorCode(std::move(problem)), call.context.request_id);
  }

  Response Answer(const UeCall& call) {
    if (!http::HasJsonBody(call.request))
      return Invalid(http::Problem(415, "Unsupported Media Type", "the body must be application/json", ""),
                     call);
    const auto parsed = http::ParseJson(call.request.body);
    if (parsed.has_error() || !parsed.value().is_object())
      return Invalid(http::Problem(400, "Bad Request", "the body must be one JSON object"), call);
    const json& body = parsed.value();
    const auto& clock = reception_.dependencies().clock;
    const KmExpectation expected{roots_, clock.NowSeconds(), reception_.options().time_window_ms / 1000};
    KmMessage message;
    if (auto problem = DecodeKmMessage(body, expected, message))
      return Invalid(*problem, call, Members(message));
    keystore::UeRequester ue = RequesterOf(call);
    if (auto problem = TakeRecipientKey(body, call, ue))
      return RefuseUe(*problem, "recipient-key", call, message, ue);
    if (!options_.refuse_replays) return Deliver(call, message, ue);
    const Sha256Digest name = NameOf(call, message);
    if (auto problem = CheckReplay(name, message, expected))
      return RefuseUe(*problem, "replayed", call, message, ue);
    Response answer = Deliver(call, message, ue);
    // Whoever is told to come again may do so with the same words.
    constexpr int kServiceUnavailable = 503;
    if (answer.status == kServiceUnavailable) guard_.Forget(name);
    return answer;
  }

  static Sha256Digest NameOf(const UeCall& call, const KmMessage& message) {
    Bytes fields(call.ue.token_sha256.begin(), call.ue.token_sha256.end());
    AppendField(fields, message.date_time);
    AppendField(fields, Name(message.selector.kind));
    AppendField(fields, message.selector.service.value());
    AppendField(fields, message.selector.target);
    return Sha256(fields);
  }

  static keystore::UeRequester RequesterOf(const UeCall& call) {
    keystore::UeRequester ue;
    ue.issuer = keystore::IssuerId(call.ue.issuer.empty() ? keystore::kAssertedIdentity : call.ue.issuer);
    ue.services = call.ue.services;
    ue.user = call.ue.user;
    ue.ue = call.ue.ue;
    ue.client = call.ue.client;
    ue.bound_to_key = !call.ue.key_thumbprint.empty();
    ue.certificate_spki = call.ue.certificate_public_key;
    ue.request_id = call.context.request_id;
    return ue;
  }

  /// A key to deliver to is one that the token is bound to: else whoever has seen a token could have keys
  /// wrapped to himself.
  static std::optional<ProblemDetails> TakeRecipientKey(const json& body, const UeCall& call,
                                                        keystore::UeRequester& ue) {
    const auto member = body.find(kRecipientKey);
    if (member == body.end()) return std::nullopt;
    const std::string pointer = std::string("/") + kRecipientKey;
    auto key = ReadRecipientJwk(*member);
    if (key.has_error()) return BadParameter(kOptionalIeIncorrect, pointer, key.error().detail);
    if (!ConstantTimeEqual(AsBytes(key.value().thumbprint), AsBytes(call.ue.key_thumbprint))) {
      ProblemDetails problem =
          BadParameter("", pointer, "is not the key that the access token is bound to (cnf.jkt)");
      problem.status = 403;
      problem.title = "Forbidden";
      return problem;
    }
    ue.key = hsm::PublicKeyRecipient(std::move(key.value().spki));
    ue.key_id = "jkt:" + key.value().thumbprint;
    return std::nullopt;
  }

  std::optional<ProblemDetails> CheckReplay(const Sha256Digest& name, const KmMessage& message,
                                            const KmExpectation& expected) {
    switch (guard_.Take(name, expected.now, message.date_time + expected.window)) {
      case ReplayGuard::Verdict::kFresh:
        return std::nullopt;
      case ReplayGuard::Verdict::kSeen:
        return http::Problem(403, "Forbidden",
                             "this request was served already; ask again with the present time", "");
      case ReplayGuard::Verdict::kFull:
        break;
    }
    ProblemDetails full = http::ProblemFor(ErrorCode::kResourceExhausted);
    return full;
  }

  /// What an answer has beside its payload, and an error too (table 5.3.3-1).
  http::ProblemMembers Members(const KmMessage& message) const {
    http::ProblemMembers members{{"skmsUri", reception_.options().api_root},
                                 {"skmsId", options_.skms_id},
                                 {"dateTime", reception_.dependencies().clock.NowSeconds()}};
    if (message.selector.service.value().empty()) return members;  // nothing was readable
    keystore::Service unknown;
    unknown.id = message.selector.service;
    members.emplace_back("userUri", UserUri(message.selector, unknown, reception_.options().api_root));
    for (auto& [name, value] : Echo(message.selector)) members.emplace_back(name, std::move(value));
    return members;
  }

  Response Deliver(const UeCall& call, const KmMessage& message, const keystore::UeRequester& ue) {
    const auto& [store, authenticator, clock] = reception_.dependencies();
    const auto answer = store.DeliverToUe(ue, message.selector);
    if (answer.has_error()) return Reception::Fail(answer.error(), call.context, Members(message));
    const keystore::Service& service = *answer.value().service;
    if (!service.access.home_for_ues().empty()) return reception_.RedirectUe(service, call.request);
    const std::string& root = reception_.options().api_root;
    const AnswerFrame frame{options_.skms_id, root, clock.NowSeconds()};
    auto payload = KeyInfoObject(answer.value(), frame);
    if (payload.has_error()) return Reception::Fail(payload.error(), call.context, Members(message));
    json out{{"userUri", UserUri(message.selector, service, root)},
             {"skmsUri", root},
             {"skmsId", options_.skms_id},
             {"dateTime", frame.time},
             {"payload", std::move(payload).value()}};
    for (const auto& [name, value] : Echo(message.selector)) out[name] = value;
    Response response = http::JsonAnswer(200, out.dump());
    AddReceipt(reception_, call.request, call.context, {&answer.value(), 1}, response);
    return response;
  }

  const KmUuOptions options_;
  const Reception reception_;
  std::vector<ApiRoot> roots_;
  ReplayGuard guard_;
};

}  // namespace

void RegisterKmUu(http::Api& api, KmUuOptions options, ReceptionOptions reception,
                  SealDependencies dependencies) {
  // It asks for what is there, and whoever asks first makes it. But a second run looks like a replay.
  const bool may_run_twice = !options.refuse_replays;
  auto resource = std::make_shared<KeyRequest>(std::move(options), std::move(reception), dependencies);
  api.Add("POST", resource->path(),
          [resource](const Request& request, RequestContext& context, const http::PathValues&) {
            return resource->Post(request, context);
          },
          {.may_run_twice = may_run_twice});
}

}  // namespace skms::seal
