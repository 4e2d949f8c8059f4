#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "client/conform/cases.h"
#include "client/json_text.h"

namespace skms::client::conform {
namespace {

using nlohmann::json;

constexpr const char* kType = "TS 29.549 table 7.6.1.4.2.2-1";
constexpr const char* kQuery = "TS 29.549 table 7.6.1.2.2-1";
constexpr const char* kTarget = "TS 29.549 7.3.1.4.2.3";
constexpr const char* kCauses = "TS 29.500 table 5.2.7.2-1";

std::string UserTarget(const Probe& probe) {
  return TargetParameter(json{{"valUserId", probe.setup().user}}.dump());
}

/// The answer to a good query, or a verdict that says what is wrong with it.
Verdict Info(const Reply& reply, json& out) { return Object(reply, out); }

Verdict RefusedTarget(Probe& probe, const std::string& value) {
  return Refused(probe.KmS(probe.Records(TargetParameter(value))), {400}, "val-tgt-ue");
}

/// 200 for whom was asked, or a refusal; never somebody else's key.
Verdict ForUserOrRefused(const Reply& reply, const std::string& user) {
  if (reply.status() != 200) return Refused(reply, {400, 403, 404});
  json info;
  Verdict object = Object(reply, info);
  if (object.outcome != Outcome::kPassed) return object;
  return Text(Member(info, "valTgtUe"), "valUserId") == user ? Pass()
                                                             : Fail("200 for another target than asked");
}

constexpr Case kKmSCases[] = {
    {"km-s.retrieve", "TS 29.549 7.6.1.3.1", "a service's key information is answered with 200 and JSON",
     kNothing,
     [](Probe& p) {
       json info;
       return Info(p.KmS(p.Records()), info);
     }},
    {"km-s.members", kType,
     "ValKeyInfo has userUri, valService and keyInfo, and nothing that is not documented", kNothing,
     [](Probe& p) {
       json info;
       Verdict got = Info(p.KmS(p.Records()), info);
       return All({got, got.outcome != Outcome::kPassed
                            ? Pass()
                            : Members(info, {"userUri", "valService", "keyInfo"}, {"skmsId"}, {"valTgtUe"})});
     }},
    {"km-s.service-echoed", kType, "valService is the same value as in the request", kNothing,
     [](Probe& p) {
       json info;
       Verdict got = Info(p.KmS(p.Records()), info);
       if (got.outcome != Outcome::kPassed) return got;
       return Text(info, "valService") == p.setup().service ? Pass() : Fail("valService is another");
     }},
    {"km-s.user-uri", "TS 29.571 5.2.2 (Uri)", "userUri is a URI with a scheme", kNothing,
     [](Probe& p) {
       json info;
       Verdict got = Info(p.KmS(p.Records()), info);
       if (got.outcome != Outcome::kPassed) return got;
       const std::string uri = Text(info, "userUri");
       const std::size_t colon = uri.find(':');
       return colon == std::string::npos || colon == 0 ? Fail("userUri is '" + uri + "'") : Pass();
     }},
    {"km-s.key-info-not-empty", kType, "keyInfo holds something", kNothing,
     [](Probe& p) {
       json info;
       Verdict got = Info(p.KmS(p.Records()), info);
       if (got.outcome != Outcome::kPassed) return got;
       return Text(info, "keyInfo").empty() ? Fail("keyInfo is empty") : Pass();
     }},
    {"km-s.no-target-unasked", kType, "a service's own key information names no user or UE", kNothing,
     [](Probe& p) {
       json info;
       Verdict got = Info(p.KmS(p.Records()), info);
       if (got.outcome != Outcome::kPassed) return got;
       return info.contains("valTgtUe") ? Fail("valTgtUe is there") : Pass();
     }},
    {"km-s.user", kQuery, "val-tgt-ue as JSON selects a user, who is named in the answer", kUser,
     [](Probe& p) {
       json info;
       Verdict got = Info(p.KmS(p.Records(UserTarget(p))), info);
       if (got.outcome != Outcome::kPassed) return got;
       return Member(info, "valTgtUe") == json{{"valUserId", p.setup().user}}
                  ? Pass()
                  : Fail("valTgtUe is not the user that was asked for");
     }},
    {"km-s.user-members", kType, "the answer for a user has documented members alone", kUser,
     [](Probe& p) {
       json info;
       Verdict got = Info(p.KmS(p.Records(UserTarget(p))), info);
       if (got.outcome != Outcome::kPassed) return got;
       return Members(info, {"userUri", "valService", "keyInfo", "valTgtUe"}, {"skmsId"}, {"valTgtUe"});
     }},
    {"km-s.user-is-not-service", "TS 33.434 5.3.2", "a user's key information is not the service's", kUser,
     [](Probe& p) {
       json own;
       json service;
       Verdict got = All({Info(p.KmS(p.Records(UserTarget(p))), own), Info(p.KmS(p.Records()), service)});
       if (got.outcome != Outcome::kPassed) return got;
       return Text(own, "keyInfo") == Text(service, "keyInfo") ? Fail("both are the same") : Pass();
     }},
    {"km-s.user-exploded", "TS 29.549 7.6.1 (YAML 1.1.1)",
     "the exploded form of the target is understood or refused, never passed over", kUser,
     [](Probe& p) {
       return ForUserOrRefused(p.KmS(p.Records("&valUserId=" + PercentEncode(p.setup().user))),
                               p.setup().user);
     }},
    {"km-s.both-forms", kQuery, "both forms of the target at once are refused", kUser,
     [](Probe& p) {
       const std::string user = PercentEncode(p.setup().user);
       return Refused(p.KmS(p.Records(UserTarget(p) + "&valUserId=" + user)), {400});
     }},
    {"km-s.unknown-user", "TS 33.434 5.3.2", "an unknown user never gets the service's own key information",
     kNothing,
     [](Probe& p) {
       return ForUserOrRefused(p.KmS(p.Records(TargetParameter(R"({"valUserId":"skmc-conform-nobody"})"))),
                               "skmc-conform-nobody");
     }},
    {"km-s.unknown-ue", "TS 33.434 5.3.2", "an unknown UE never gets the service's own key information",
     kNothing,
     [](Probe& p) {
       const Reply reply = p.KmS(p.Records(TargetParameter(R"({"valUeId":"skmc-conform-nothing"})")));
       if (reply.status() != 200) return Refused(reply, {400, 403, 404});
       json info;
       Verdict got = Object(reply, info);
       if (got.outcome != Outcome::kPassed) return got;
       return Text(Member(info, "valTgtUe"), "valUeId") == "skmc-conform-nothing"
                  ? Pass()
                  : Fail("200 for another target than asked");
     }},
    {"km-s.service-missing", kCauses, "without val-service-id: 400, and invalidParams names it", kNothing,
     [](Probe& p) { return Refused(p.KmS("/ss-kir/v1/key-records"), {400}, "val-service-id"); }},
    {"km-s.service-empty", kCauses, "an empty val-service-id is refused", kNothing,
     [](Probe& p) {
       return Refused(p.KmS("/ss-kir/v1/key-records?val-service-id="), {400}, "val-service-id");
     }},
    {"km-s.service-twice", kQuery, "val-service-id stands once", kNothing,
     [](Probe& p) {
       return Refused(p.KmS(p.Records("&val-service-id=" + PercentEncode(p.setup().service))), {400},
                      "val-service-id");
     }},
    {"km-s.service-unknown", "TS 33.434 table 5.3.3-2",
     "no key information for the service: 404 with ErrorCode 02, or refused", kNothing,
     [](Probe& p) {
       return NotFoundOrRefused(p.KmS("/ss-kir/v1/key-records?val-service-id=skmc-conform-none"));
     }},
    {"km-s.service-not-utf-8", kCauses, "a val-service-id that is no UTF-8 is refused", kNothing,
     [](Probe& p) {
       return Refused(p.KmS("/ss-kir/v1/key-records?val-service-id=%FF%FE"), {400, 404});
     }},
    {"km-s.target-not-json", kCauses, "a val-tgt-ue that is no JSON: 400, named", kNothing,
     [](Probe& p) { return RefusedTarget(p, "alice"); }},
    {"km-s.target-both", kTarget, "valUserId and valUeId at once: 400", kNothing,
     [](Probe& p) { return RefusedTarget(p, R"({"valUserId":"a","valUeId":"b"})"); }},
    {"km-s.target-neither", kTarget, "neither valUserId nor valUeId: 400", kNothing,
     [](Probe& p) { return RefusedTarget(p, "{}"); }},
    {"km-s.target-number", kTarget, "valUserId is a string: else 400", kNothing,
     [](Probe& p) { return RefusedTarget(p, R"({"valUserId":7})"); }},
    {"km-s.target-null", kTarget, "valUserId is not null: else 400", kNothing,
     [](Probe& p) { return RefusedTarget(p, R"({"valUserId":null})"); }},
    {"km-s.target-array", kTarget, "val-tgt-ue is an object: else 400", kNothing,
     [](Probe& p) { return RefusedTarget(p, R"(["alice"])"); }},
    {"km-s.target-empty", kCauses, "an empty val-tgt-ue is refused", kNothing,
     [](Probe& p) { return RefusedTarget(p, ""); }},
    {"km-s.target-twice", kQuery, "val-tgt-ue stands once", kNothing,
     [](Probe& p) {
       return Refused(p.KmS(p.Records(TargetParameter(R"({"valUserId":"a"})") +
                                      TargetParameter(R"({"valUserId":"b"})"))),
                      {400});
     }},
};

}  // namespace

std::span<const Case> KmSCases() { return kKmSCases; }

}  // namespace skms::client::conform
