#include "client/conform/probe.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"
#include "client/crypto.h"
#include "client/json_text.h"

namespace skms::client::conform {
namespace {

using nlohmann::json;

std::string MediaType(const Reply& reply) {
  std::string type = reply.Header("content-type");
  type.resize(std::min(type.find(';'), type.size()));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  return type;
}

std::string List(std::initializer_list<long> statuses) {
  std::string text;
  for (const long status : statuses) text += (text.empty() ? "" : " or ") + std::to_string(status);
  return text;
}

Reply ToReply(Result<HttpAnswer> sent) {
  if (sent.has_error()) return {std::nullopt, sent.error().detail};
  return {std::move(sent).value(), ""};
}

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::string Reply::Header(const char* name) const {
  if (!answer) return {};
  const auto header = answer->headers.find(name);
  return header == answer->headers.end() ? std::string() : header->second;
}

Probe::Probe(const Setup& setup, const Clock& clock)
    : setup_(setup), clock_(clock), km_s_(setup.km_s), km_uu_(setup.km_uu) {
  if (setup.bound_key_path.empty()) return;
  auto jwk = PublicJwk(setup.bound_key_path);
  if (jwk.has_value()) recipient_key_ = jwk.value();
}

Reply Probe::From(const Endpoint& endpoint, const HttpRequest& request) const {
  return ToReply(HttpsClient(endpoint).Send(request));
}

Reply Probe::KmS(const std::string& target, const std::string& method,
                 const std::vector<std::string>& headers, const std::optional<std::string>& body) {
  return ToReply(km_s_.Send({method, target, headers, body, &setup_.token}));
}

Reply Probe::Tokenless(const std::string& target, const std::vector<std::string>& headers) {
  return ToReply(km_s_.Send({"GET", target, headers, std::nullopt, nullptr}));
}

Reply Probe::WithToken(const SecretBytes& token, const std::string& target) {
  return ToReply(km_s_.Send({"GET", target, {}, std::nullopt, &token}));
}

std::string Probe::Records(const std::string& more) const {
  return "/ss-kir/v1/key-records?val-service-id=" + PercentEncode(setup_.service) + more;
}

Reply Probe::Provision(const json& body, const SecretBytes& token) {
  return ToReply(
      km_s_.Send({"POST", "/ss-kpp/v1/request", {"Content-Type: application/json"}, body.dump(), &token}));
}

Reply Probe::KmUu(const json& changes) {
  json message{{"version", "1.0.0"},
               {"skmsUri", setup_.km_uu.url},
               {"serviceId", setup_.service},
               {"userId", setup_.ue_user},
               {"dateTime", clock_.NowSeconds()}};
  if (!recipient_key_.empty()) message["recipientKey"] = json::parse(recipient_key_);
  message.merge_patch(changes);
  return KmUuRaw(
      {"POST", "/skm/v1/key-request", {"Content-Type: application/json"}, message.dump(), &setup_.ue_token});
}

Reply Probe::KmUuRaw(const HttpRequest& request) { return ToReply(km_uu_.Send(request)); }

std::string TargetParameter(const std::string& json_text) {
  return "&val-tgt-ue=" + PercentEncode(json_text);
}

Verdict All(std::initializer_list<Verdict> verdicts) {
  for (const Verdict& verdict : verdicts)
    if (verdict.outcome != Outcome::kPassed) return verdict;
  return Pass();
}

Verdict Status(const Reply& reply, std::initializer_list<long> allowed) {
  if (!reply.answer) return Fail("no answer: " + reply.failure);
  if (std::find(allowed.begin(), allowed.end(), reply.status()) != allowed.end()) return Pass();
  return Fail("answered " + std::to_string(reply.status()) + ", not " + List(allowed));
}

Verdict Refused(const Reply& reply, std::initializer_list<long> allowed, const std::string& param,
                const std::string& error_code) {
  if (Verdict status = Status(reply, allowed); status.outcome != Outcome::kPassed) return status;
  if (MediaType(reply) != "application/problem+json")
    return Fail("the error is '" + MediaType(reply) + "', not application/problem+json");
  const json problem = ParseJson(reply.answer->body);
  if (!problem.is_object()) return Fail("the error's body is no JSON object");
  for (const char* name : {"type", "title", "detail", "instance", "cause", "errorCode"})
    if (problem.contains(name) && !problem[name].is_string())
      return Fail(std::string("the error's '") + name + "' is no string");
  if (problem.contains("status") && problem["status"] != reply.status())
    return Fail("the error's 'status' is not the answer's");
  if (!error_code.empty() && problem.contains("errorCode") && problem["errorCode"] != error_code)
    return Fail("the ErrorCode is '" + Text(problem, "errorCode") + "', not '" + error_code + "'");
  if (problem.contains("keyInfo") || problem.contains("payload"))
    return Fail("the error carries key management payload");
  if (param.empty()) return Pass();
  const json& invalid = Member(problem, "invalidParams");
  const bool named =
      invalid.is_array() && std::any_of(invalid.begin(), invalid.end(), [&](const json& entry) {
        return Text(entry, "param").find(param) != std::string::npos;
      });
  return named ? Pass() : Fail("invalidParams does not name '" + param + "'");
}

Verdict NotFoundOrRefused(const Reply& reply) {
  return reply.status() == 403 ? Refused(reply, {403}) : Refused(reply, {404}, "", "02");
}

Verdict Object(const Reply& reply, json& out) {
  if (Verdict status = Status(reply, {200}); status.outcome != Outcome::kPassed) return status;
  if (MediaType(reply) != "application/json")
    return Fail("the answer is '" + MediaType(reply) + "', not application/json");
  out = ParseJson(reply.answer->body);
  return out.is_object() ? Pass() : Fail("the answer's body is no JSON object");
}

Verdict Members(const json& object, const std::vector<std::string>& required,
                const std::vector<std::string>& optional, const std::vector<std::string>& others) {
  for (const std::string& name : required)
    if (!object.contains(name)) return Fail("'" + name + "' is missing");
  for (const auto& [name, value] : object.items()) {
    if (name.rfind("vendorSpecific-", 0) == 0) continue;
    const bool text = Has(required, name) || Has(optional, name);
    if (!text && !Has(others, name)) return Fail("'" + name + "' is not documented");
    if (text && !Has(others, name) && !value.is_string()) return Fail("'" + name + "' is no string");
  }
  return Pass();
}

}  // namespace skms::client::conform
