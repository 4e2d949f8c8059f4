#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "client/conform/cases.h"
#include "client/json_text.h"

namespace skms::client::conform {
namespace {

using nlohmann::json;

constexpr std::int64_t kLongAgo = 600;

Verdict NotAllowed(const Reply& reply) {
  Verdict refused = Refused(reply, {405});
  if (refused.outcome != Outcome::kPassed) return refused;
  return reply.Header("allow").empty() ? Fail("405 without Allow") : Pass();
}

constexpr Case kHttpCases[] = {
    {"http.accept-any", "RFC 9110 12.5.1", "Accept: */* is served", kNothing,
     [](Probe& p) { return Status(p.KmS(p.Records(), "GET", {"Accept: */*"}), {200}); }},
    {"http.accept-other", "TS 29.500 table 5.2.7.1-1", "what only an unknown media type could answer: 406",
     kNothing, [](Probe& p) { return Refused(p.KmS(p.Records(), "GET", {"Accept: text/html"}), {406}); }},
    {"http.post-on-key-records", "TS 29.500 5.2.7.2", "POST on key-records: 405 with Allow", kNothing,
     [](Probe& p) {
       return NotAllowed(p.KmS(p.Records(), "POST", {"Content-Type: application/json"}, "{}"));
     }},
    {"http.delete-on-key-records", "TS 29.500 5.2.7.2", "DELETE on key-records: 405 with Allow", kNothing,
     [](Probe& p) { return NotAllowed(p.KmS(p.Records(), "DELETE")); }},
    {"http.put-on-key-records", "TS 29.500 5.2.7.2", "PUT on key-records: 405 with Allow", kNothing,
     [](Probe& p) {
       return NotAllowed(p.KmS(p.Records(), "PUT", {"Content-Type: application/json"}, "{}"));
     }},
    {"http.unknown-method", "TS 29.500 5.2.7.2", "a method that nobody knows: 501 (or 405)", kNothing,
     [](Probe& p) {
       return Refused(p.KmS(p.Records(), "BREW"), {501, 405});
     }},
    {"http.head", "RFC 9110 9.3.2", "HEAD is answered as GET is, or 405", kNothing,
     [](Probe& p) {
       return Status(p.KmS(p.Records(), "HEAD"), {200, 405, 501});
     }},
    {"http.unknown-resource", "TS 29.500 5.2.7.2", "an unknown resource of a known API: 404", kNothing,
     [](Probe& p) { return Refused(p.KmS("/ss-kir/v1/skmc-conform"), {404}); }},
    {"http.unknown-version", "TS 29.549 6.5", "an unknown version of the API: 404", kNothing,
     [](Probe& p) { return Refused(p.KmS("/ss-kir/v99/key-records?val-service-id=x"), {404}); }},
    {"http.unknown-api", "TS 29.500 5.2.7.2", "an unknown API: 404", kNothing,
     [](Probe& p) { return Refused(p.KmS("/skmc-conform/v1/key-records"), {404}); }},
    {"http.entity-tag", "RFC 9110 13.1.2", "an entity tag that was answered saves the body", kNothing,
     [](Probe& p) {
       const std::string tag = p.KmS(p.Records()).Header("etag");
       if (tag.empty()) return Skip("the server answers no ETag");
       return Status(p.KmS(p.Records(), "GET", {"If-None-Match: " + tag}), {304});
     }},
    {"http.entity-tag-other", "RFC 9110 13.1.2", "another entity tag does not", kNothing,
     [](Probe& p) { return Status(p.KmS(p.Records(), "GET", {"If-None-Match: \"skmc-conform\""}), {200}); }},
    {"http.no-store", "RFC 9111 5.2.2.5", "key material is not for caches", kNothing,
     [](Probe& p) {
       const Reply reply = p.KmS(p.Records());
       Verdict status = Status(reply, {200});
       if (status.outcome != Outcome::kPassed) return status;
       return reply.Header("cache-control").find("no-store") == std::string::npos
                  ? Fail("Cache-Control does not say no-store")
                  : Pass();
     }},
    {"http.timestamp-now", "TS 29.122 5.2.8.3", "Nb-Api-Sender-Timestamp of now is taken", kNothing,
     [](Probe& p) {
       const std::string now = FormatUtc(p.clock().NowSeconds());
       return Status(p.KmS(p.Records(), "GET", {"Nb-Api-Sender-Timestamp: " + now}), {200});
     }},
    {"http.timestamp-old", "TS 29.549 5.7.1.2.2.2", "a request of ten minutes ago is refused", kNothing,
     [](Probe& p) {
       const std::string then = FormatUtc(p.clock().NowSeconds() - kLongAgo);
       return Refused(p.KmS(p.Records(), "GET", {"Nb-Api-Sender-Timestamp: " + then}), {400, 403});
     }},
    {"http.timestamp-ahead", "TS 29.549 5.7.1.2.2.2", "and one of ten minutes ahead", kNothing,
     [](Probe& p) {
       const std::string then = FormatUtc(p.clock().NowSeconds() + kLongAgo);
       return Refused(p.KmS(p.Records(), "GET", {"Nb-Api-Sender-Timestamp: " + then}), {400, 403});
     }},
    {"http.another-target", "TS 33.434 5.3.2 (iii)", "a request for another key management server is refused",
     kNothing,
     [](Probe& p) {
       return Refused(p.KmS(p.Records(), "GET", {"Host: skmc-conform.invalid"}), {400, 403, 404, 421});
     }},
    {"http.discovery", "api/openapi/skms_discovery.yaml",
     "discovery, where it is offered, names the server and its APIs", kNothing,
     [](Probe& p) {
       const Reply reply = p.Tokenless("/.well-known/skms");
       if (reply.status() == 404) return Skip("the server offers no /.well-known/skms");
       json found;
       Verdict got = Object(reply, found);
       if (got.outcome != Outcome::kPassed) return got;
       if (Text(found, "skmsId").empty() || !Member(found, "apis").is_array())
         return Fail("skmsId or apis is missing");
       return Member(Member(found, "jwks"), "keys").is_array() ? Pass() : Fail("jwks is missing");
     }},
};

}  // namespace

std::span<const Case> HttpCases() { return kHttpCases; }

}  // namespace skms::client::conform
