#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "client/conform/cases.h"
#include "client/json_text.h"

namespace skms::client::conform {
namespace {

using nlohmann::json;

constexpr const char* kRequest = "TS 29.549 7.6.2 (VALKeyPpReq)";
constexpr const char* kResponse = "TS 29.549 7.6.2 (VALKeyPpResp)";
constexpr const char* kResource = "/ss-kpp/v1/request";

/// A request that is right; the payload is the same each time, so that it is stored once.
json Good(const Probe& probe) {
  return {{"skmcUri", "https://skmc-conform.invalid/skmc"},
          {"valServiceId", probe.setup().service},
          {"payloadId", "skmc-conform"},
          {"payload", ToBase64(AsBytes("stored by skmc conform; may be removed"))}};
}

/// What is wrong is found before who asks is known to be allowed, or after: a token with SKeyProv where there
/// is one.
Verdict RefusedMember(Probe& probe, const json& changes, const std::string& param) {
  json body = Good(probe);
  body.merge_patch(changes);
  return Refused(probe.Provision(body, probe.setup().provisioning), {400}, param);
}

Reply Post(Probe& probe, const std::vector<std::string>& headers, const std::optional<std::string>& body) {
  return probe.From(probe.setup().km_s, {"POST", kResource, headers, body, &probe.setup().provisioning});
}

Verdict Stored(Probe& probe, const json& changes, json& out) {
  json body = Good(probe);
  body.merge_patch(changes);
  return Object(probe.Provision(body, probe.setup().provisioning), out);
}

constexpr Case kProvisioningCases[] = {
    {"kpp.provision", kResponse, "a payload is taken: 200, documented members, the request's values",
     kProvisioning,
     [](Probe& p) {
       json out;
       Verdict stored = Stored(p, json::object(), out);
       if (stored.outcome != Outcome::kPassed) return stored;
       Verdict members =
           Members(out, {"skmcUri", "valServiceId"}, {"skmsId", "payloadId", "suppFeat"}, {"valTgtUe"});
       if (members.outcome != Outcome::kPassed) return members;
       const json sent = Good(p);
       return out["skmcUri"] == sent["skmcUri"] && out["valServiceId"] == sent["valServiceId"]
                  ? Pass()
                  : Fail("skmcUri or valServiceId is another");
     }},
    {"kpp.payload-id-echoed", "TS 33.434 table 5.8.3-1", "a payload id is echoed", kProvisioning,
     [](Probe& p) {
       json out;
       Verdict stored = Stored(p, json::object(), out);
       if (stored.outcome != Outcome::kPassed) return stored;
       return Text(out, "payloadId") == "skmc-conform" ? Pass() : Fail("payloadId is not echoed");
     }},
    {"kpp.again", kResponse, "the same request again is answered in the same way", kProvisioning,
     [](Probe& p) {
       json first;
       json second;
       Verdict stored = All({Stored(p, json::object(), first), Stored(p, json::object(), second)});
       if (stored.outcome != Outcome::kPassed) return stored;
       return first == second ? Pass() : Fail("the second answer is another");
     }},
    {"kpp.user-echoed", kResponse, "valTgtUe is echoed", kProvisioning | kUser,
     [](Probe& p) {
       const json target{{"valUserId", p.setup().user}};
       json out;
       Verdict stored = Stored(p, {{"valTgtUe", target}}, out);
       if (stored.outcome != Outcome::kPassed) return stored;
       return Member(out, "valTgtUe") == target ? Pass() : Fail("valTgtUe is not echoed");
     }},
    {"kpp.features", "TS 29.500 6.6.2", "suppFeat is answered with what both support", kProvisioning,
     [](Probe& p) {
       json out;
       Verdict stored = Stored(p, {{"suppFeat", "0"}}, out);
       if (stored.outcome != Outcome::kPassed) return stored;
       const std::string features = Text(out, "suppFeat");
       return out.contains("suppFeat") && features.find_first_not_of('0') == std::string::npos
                  ? Pass()
                  : Fail("suppFeat is '" + features + "' to a client that supports nothing");
     }},
    {"kpp.unknown-member", "TS 29.500 5.2.7.2", "members that nobody knows are passed over", kProvisioning,
     [](Probe& p) {
       json out;
       return Stored(p, {{"vendorSpecific-000000", {{"skmc", "conform"}}}}, out);
     }},
    {"kpp.no-client-uri", kRequest, "without skmcUri: 400, named", kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"skmcUri", nullptr}}, "skmcUri");
     }},
    {"kpp.no-service", kRequest, "without valServiceId: 400, named", kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"valServiceId", nullptr}}, "valServiceId");
     }},
    {"kpp.client-uri-number", kRequest, "skmcUri is a string: else 400", kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"skmcUri", 7}}, "skmcUri");
     }},
    {"kpp.service-number", kRequest, "valServiceId is a string: else 400", kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"valServiceId", 7}}, "valServiceId");
     }},
    {"kpp.target-both", "TS 29.549 7.3.1.4.2.3", "valUserId and valUeId at once: 400", kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"valTgtUe", {{"valUserId", "a"}, {"valUeId", "b"}}}}, "valTgtUe");
     }},
    {"kpp.target-neither", "TS 29.549 7.3.1.4.2.3", "neither valUserId nor valUeId: 400", kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"valTgtUe", json::object()}}, "valTgtUe");
     }},
    {"kpp.payload-not-base64", "TS 29.571 5.2.2 (Bytes)", "a payload that is not base64: 400, named",
     kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"payload", "***"}}, "payload");
     }},
    {"kpp.payload-number", "TS 29.571 5.2.2 (Bytes)", "a payload that is no string: 400, named",
     kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"payload", 7}}, "payload");
     }},
    {"kpp.features-not-hex", "TS 29.571 5.2.2 (SupportedFeatures)", "suppFeat is hexadecimal: else 400",
     kProvisioning,
     [](Probe& p) {
       return RefusedMember(p, {{"suppFeat", "xyz"}}, "suppFeat");
     }},
    {"kpp.not-json", "TS 29.500 table 5.2.7.2-1", "a body that is no JSON: 400", kProvisioning,
     [](Probe& p) { return Refused(Post(p, {"Content-Type: application/json"}, "{skmc"), {400}); }},
    {"kpp.array", "TS 29.500 table 5.2.7.2-1", "a body that is no object: 400", kProvisioning,
     [](Probe& p) { return Refused(Post(p, {"Content-Type: application/json"}, "[]"), {400}); }},
    {"kpp.media-type", "TS 29.549 7.6.2", "a body of another media type: 415", kProvisioning,
     [](Probe& p) { return Refused(Post(p, {"Content-Type: text/plain"}, Good(p).dump()), {415}); }},
    {"kpp.no-length", "TS 29.549 7.6.2", "a POST without Content-Length: 411 (or 400)", kProvisioning,
     [](Probe& p) {
       return Status(Post(p, {"Content-Type: application/json"}, std::nullopt), {411, 400});
     }},
    {"kpp.unknown-service", "TS 33.434 table 5.8.3-2", "a service that is not there: 404 (or 403)",
     kProvisioning,
     [](Probe& p) {
       json body = Good(p);
       body["valServiceId"] = "skmc-conform-none";
       return Refused(p.Provision(body, p.setup().provisioning), {403, 404});
     }},
    {"kpp.get", "TS 29.500 5.2.7.2", "GET: 405 with Allow", kProvisioning,
     [](Probe& p) {
       const Reply reply = p.KmS(kResource);
       Verdict refused = Refused(reply, {405});
       if (refused.outcome != Outcome::kPassed) return refused;
       return reply.Header("allow").empty() ? Fail("405 without Allow") : Pass();
     }},
    {"kpp.no-token", "TS 33.434 5.8.1", "without an access token: 401 (or 403)", kProvisioning,
     [](Probe& p) {
       return Refused(
           p.From(p.setup().km_s,
                  {"POST", kResource, {"Content-Type: application/json"}, Good(p).dump(), nullptr}),
           {401, 403});
     }},
    {"kpp.no-skeyprov", "TS 33.434 A.2.2.3", "a token without SKeyProv provisions nothing", kProvisioning,
     [](Probe& p) {
       return Refused(p.Provision(Good(p), p.setup().token), {401, 403, 404});
     }},
};

}  // namespace

std::span<const Case> ProvisioningCases() { return kProvisioningCases; }

}  // namespace skms::client::conform
