#include <nlohmann/json.hpp>

#include "client/conform/cases.h"
#include "client/json_text.h"

namespace skms::client::conform {
namespace {

using nlohmann::json;

constexpr const char* kKmRequest = "TS 33.434 table 5.3.2-1; skms_km_uu.yaml";
constexpr const char* kKmResponse = "TS 33.434 table 5.3.3-1; skms_km_uu.yaml";
constexpr const char* kErrors = "TS 33.434 table 5.3.3-2; skms_km_uu.yaml";
constexpr const char* kKmResource = "/skm/v1/key-request";
constexpr std::int64_t kStale = 600;
constexpr std::int64_t kWindow = 5;

Verdict Message(Probe& probe, json& out) { return Object(probe.KmUu(json::object()), out); }

Verdict RefusedField(Probe& probe, const json& changes, const std::string& param) {
  return Refused(probe.KmUu(changes), {400}, param, "04");
}

Reply PostKmUu(Probe& probe, const std::vector<std::string>& headers,
               const std::optional<std::string>& body) {
  return probe.KmUuRaw({"POST", kKmResource, headers, body, &probe.setup().ue_token});
}

constexpr Case kKmUuCases[] = {
    {"km-uu.request", kKmResponse, "the user that the token names gets a payload", kKmUu,
     [](Probe& p) {
       json out;
       Verdict got = Message(p, out);
       if (got.outcome != Outcome::kPassed) return got;
       return out.contains("payload") && !out["payload"].empty() ? Pass() : Fail("there is no payload");
     }},
    {"km-uu.members", kKmResponse,
     "UserUri, SKmsUri, ServiceID, Date/Time, what must be echoed, and nothing else", kKmUu,
     [](Probe& p) {
       json out;
       Verdict got = Message(p, out);
       if (got.outcome != Outcome::kPassed) return got;
       return Members(out, {"userUri", "skmsUri", "serviceId", "userId", "dateTime", "payload"}, {"skmsId"},
                      {"dateTime", "payload"});
     }},
    {"km-uu.echo", kKmResponse, "ServiceID and UserID are those of the request", kKmUu,
     [](Probe& p) {
       json out;
       Verdict got = Message(p, out);
       if (got.outcome != Outcome::kPassed) return got;
       return Text(out, "serviceId") == p.setup().service && Text(out, "userId") == p.setup().ue_user
                  ? Pass()
                  : Fail("serviceId or userId is another");
     }},
    {"km-uu.time", kKmResponse, "Date/Time is the time of the answer, in seconds", kKmUu,
     [](Probe& p) {
       json out;
       Verdict got = Message(p, out);
       if (got.outcome != Outcome::kPassed) return got;
       const json& time = Member(out, "dateTime");
       if (!time.is_number_integer()) return Fail("dateTime is no whole number");
       const std::int64_t now = p.clock().NowSeconds();
       return time >= now - kWindow && time <= now + kWindow
                  ? Pass()
                  : Fail("dateTime is more than five seconds from our clock");
     }},
    {"km-uu.sender", kKmResponse, "SKmsUri is the server that was asked", kKmUu,
     [](Probe& p) {
       json out;
       Verdict got = Message(p, out);
       if (got.outcome != Outcome::kPassed) return got;
       return Text(out, "skmsUri") == p.setup().km_uu.url ? Pass()
                                                          : Fail("skmsUri is '" + Text(out, "skmsUri") + "'");
     }},
    {"km-uu.unknown-member", "TS 29.500 5.2.7.2", "members that nobody knows are passed over", kKmUu,
     [](Probe& p) {
       return Status(p.KmUu({{"skmcConform", true}}), {200});
     }},
    {"km-uu.no-version", kKmRequest, "Version is mandatory: else 400, ErrorCode 04", kKmUu,
     [](Probe& p) {
       return RefusedField(p, {{"version", nullptr}}, "version");
     }},
    {"km-uu.other-version", kKmRequest, "Version is 1.0.0: else 400", kKmUu,
     [](Probe& p) {
       return RefusedField(p, {{"version", "9.9.9"}}, "version");
     }},
    {"km-uu.no-server", kKmRequest, "SKmsUri is mandatory: else 400", kKmUu,
     [](Probe& p) {
       return RefusedField(p, {{"skmsUri", nullptr}}, "skmsUri");
     }},
    {"km-uu.other-server", "TS 33.434 5.3.2 (iii)", "SKmsUri of another server: refused, ErrorCode 04", kKmUu,
     [](Probe& p) {
       return Refused(p.KmUu({{"skmsUri", "https://skmc-conform.invalid"}}), {400, 403}, "", "04");
     }},
    {"km-uu.no-service", kKmRequest, "ServiceID is mandatory: else 400", kKmUu,
     [](Probe& p) {
       return RefusedField(p, {{"serviceId", nullptr}}, "serviceId");
     }},
    {"km-uu.service-number", kKmRequest, "ServiceID is a string: else 400", kKmUu,
     [](Probe& p) {
       return RefusedField(p, {{"serviceId", 7}}, "serviceId");
     }},
    {"km-uu.two-identities", kKmRequest, "at most one of ClientID, DeviceID and UserID: else 400", kKmUu,
     [](Probe& p) {
       return Refused(p.KmUu({{"deviceId", "skmc-conform"}}), {400}, "", "04");
     }},
    {"km-uu.no-time", kKmRequest, "Date/Time is mandatory: else 400", kKmUu,
     [](Probe& p) {
       return RefusedField(p, {{"dateTime", nullptr}}, "dateTime");
     }},
    {"km-uu.time-text", kKmRequest, "Date/Time is a number of seconds: else 400", kKmUu,
     [](Probe& p) {
       return RefusedField(p, {{"dateTime", "2026-01-01T00:00:00Z"}}, "dateTime");
     }},
    {"km-uu.time-fraction", kKmRequest, "Date/Time is a whole number: else 400", kKmUu,
     [](Probe& p) {
       return RefusedField(p, {{"dateTime", static_cast<double>(p.clock().NowSeconds()) + 0.5}}, "dateTime");
     }},
    {"km-uu.time-old", "TS 33.434 5.3.2 (iv)", "a request of ten minutes ago is refused, ErrorCode 04", kKmUu,
     [](Probe& p) {
       return Refused(p.KmUu({{"dateTime", p.clock().NowSeconds() - kStale}}), {400, 403}, "", "04");
     }},
    {"km-uu.time-ahead", "TS 33.434 5.3.2 (iv)", "and one of ten minutes ahead", kKmUu,
     [](Probe& p) {
       return Refused(p.KmUu({{"dateTime", p.clock().NowSeconds() + kStale}}), {400, 403}, "", "04");
     }},
    {"km-uu.other-user", "TS 33.434 5.2.3, 5.3.1", "another user than the token's: refused", kKmUu,
     [](Probe& p) {
       return Refused(p.KmUu({{"userId", "skmc-conform-nobody"}}), {403, 404});
     }},
    {"km-uu.other-client", "TS 33.434 5.2.3, 5.3.1", "a client that the token does not name: refused", kKmUu,
     [](Probe& p) {
       return Refused(p.KmUu({{"userId", nullptr}, {"clientId", "skmc-conform-nobody"}}), {403, 404});
     }},
    {"km-uu.unknown-service", kErrors, "no key information: 404 with ErrorCode 02, or refused", kKmUu,
     [](Probe& p) {
       return NotFoundOrRefused(p.KmUu({{"serviceId", "skmc-conform-none"}}));
     }},
    {"km-uu.no-token", kErrors, "without an access token: 401, ErrorCode 03", kKmUu,
     [](Probe& p) {
       return Refused(p.KmUuRaw({"POST", kKmResource, {"Content-Type: application/json"}, "{}", nullptr}),
                      {401}, "", "03");
     }},
    {"km-uu.not-json", "TS 29.500 table 5.2.7.2-1", "a body that is no JSON: 400", kKmUu,
     [](Probe& p) {
       return Refused(PostKmUu(p, {"Content-Type: application/json"}, "{skmc"), {400}, "", "04");
     }},
    {"km-uu.array", "TS 29.500 table 5.2.7.2-1", "a body that is no object: 400", kKmUu,
     [](Probe& p) {
       return Refused(PostKmUu(p, {"Content-Type: application/json"}, "[]"), {400}, "", "04");
     }},
    {"km-uu.media-type", "TS 29.122 5.2.3", "a body of another media type: 415", kKmUu,
     [](Probe& p) { return Refused(PostKmUu(p, {"Content-Type: text/plain"}, "{}"), {415}); }},
    {"km-uu.no-length", "TS 29.500 table 5.2.7.1-1", "a POST without Content-Length: 411 (or 400)", kKmUu,
     [](Probe& p) {
       return Status(PostKmUu(p, {"Content-Type: application/json"}, std::nullopt), {411, 400});
     }},
    {"km-uu.get", "TS 29.500 5.2.7.2", "GET: 405 with Allow", kKmUu,
     [](Probe& p) {
       const Reply reply = p.KmUuRaw({"GET", kKmResource, {}, std::nullopt, &p.setup().ue_token});
       Verdict refused = Refused(reply, {405});
       if (refused.outcome != Outcome::kPassed) return refused;
       return reply.Header("allow").empty() ? Fail("405 without Allow") : Pass();
     }},
};

}  // namespace

std::span<const Case> KmUuCases() { return kKmUuCases; }

}  // namespace skms::client::conform
