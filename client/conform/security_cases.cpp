#include <curl/curl.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "client/conform/cases.h"
#include "client/json_text.h"

namespace skms::client::conform {
namespace {

using nlohmann::json;

constexpr const char* kTokenUse = "TS 33.434 A.6, RFC 6750 3";
constexpr const char* kTokenChecks = "TS 33.434 A.7.2, RFC 8725";

/// 401 with a challenge that a bearer token answers. RFC 9110 11.1: schemes are compared without case.
Verdict Challenged(const Reply& reply) {
  Verdict refused = Refused(reply, {401}, "", "03");
  if (refused.outcome != Outcome::kPassed) return refused;
  std::string scheme = reply.Header("www-authenticate").substr(0, 6);
  for (char& c : scheme) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return scheme == "bearer" ? Pass() : Fail("401 without WWW-Authenticate: Bearer");
}

/// Without a token TS 24.547 A.2.3 has 403, RFC 6750 and TS 33.434 have 401.
Verdict Unknown(const Reply& reply) {
  return reply.status() == 403 ? Refused(reply, {403}) : Challenged(reply);
}

struct Parts {
  std::string header, payload, signature;
};

/// The parts of the caller's token; nullopt when it is no JWS.
std::optional<Parts> Split(const SecretBytes& token) {
  const std::string text = AsText(token.ExposeSecret());
  const std::size_t first = text.find('.');
  const std::size_t second = first == std::string::npos ? first : text.find('.', first + 1);
  if (second == std::string::npos) return std::nullopt;
  return Parts{text.substr(0, first), text.substr(first + 1, second - first - 1), text.substr(second + 1)};
}

json Decoded(const std::string& part) {
  const auto octets = FromBase64Url(part);
  return octets ? ParseJson(AsText(*octets)) : json();
}

/// The caller's token with something changed must not be taken.
Verdict ChangedToken(Probe& probe, const std::function<void(Parts&)>& change) {
  auto parts = Split(probe.setup().token);
  if (!parts || parts->signature.empty() || !Decoded(parts->header).is_object() ||
      !Decoded(parts->payload).is_object())
    return Skip("the access token is no JWS with JSON claims");
  change(*parts);
  std::string text = parts->header + "." + parts->payload + "." + parts->signature;
  const SecretBytes token = SecretBytes::TakeFrom(text);
  return Challenged(probe.WithToken(token, probe.Records()));
}

/// A change to one character that base64url still decodes to other octets.
void Flip(std::string& part) {
  if (part.empty()) return;
  char& c = part.at(part.size() / 2);
  c = c == 'A' ? 'B' : 'A';
}

std::string Encoded(const json& value) { return ToBase64Url(AsBytes(value.dump())); }

/// No key for who has the wrong certificate: no connection, or a refusal. No connection counts only where the
/// right certificate makes one at the same time.
Verdict NoKeyFor(Probe& probe, const Endpoint& endpoint) {
  const HttpRequest request{"GET", probe.Records(), {}, std::nullopt, &probe.setup().token};
  const Reply reply = probe.From(endpoint, request);
  if (reply.answer) return Refused(reply, {400, 401, 403});
  const Reply control = probe.From(probe.setup().km_s, request);
  return control.answer ? Pass()
                        : Fail("no connection with the right certificate either: " + control.failure);
}

/// Connects with TLS versions up to `newest` only, with every old cipher allowed, so that it is the server
/// that says no.
CURLcode ConnectWith(const Endpoint& server, long oldest, long newest) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  curl_easy_setopt(curl.get(), CURLOPT_URL, server.url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(curl.get(), CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, server.timeout_seconds);
  curl_easy_setopt(curl.get(), CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(curl.get(), CURLOPT_CAINFO, server.ca_path.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_SSLCERT, server.certificate_path.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_SSLKEY, server.private_key_path.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_SSL_CIPHER_LIST, "ALL:@SECLEVEL=0");
  curl_easy_setopt(curl.get(), CURLOPT_SSLVERSION, oldest | (newest << 16));  // CURL_SSLVERSION_MAX_…
  return curl_easy_perform(curl.get());
}

Verdict RefusesOldTls(Probe& probe) {
  const Endpoint& server = probe.setup().km_s;
  if (ConnectWith(server, CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_TLSv1_3) != CURLE_OK)
    return Skip("no connection with TLS 1.2 either");
  const CURLcode code = ConnectWith(server, CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_TLSv1_1);
  if (code == CURLE_OK) return Fail("a connection with TLS 1.1 was made");
  return code == CURLE_SSL_CONNECT_ERROR ? Pass()
                                         : Skip(std::string("not tried: ") + curl_easy_strerror(code));
}

constexpr Case kSecurityCases[] = {
    {"security.no-token", kTokenUse, "without an access token: 401 with a Bearer challenge, or 403", kNothing,
     [](Probe& p) { return Unknown(p.Tokenless(p.Records())); }},
    {"security.nonsense-token", kTokenUse, "a token that is none: 401", kNothing,
     [](Probe& p) { return Challenged(p.Tokenless(p.Records(), {"Authorization: Bearer skmc-conform"})); }},
    {"security.other-scheme", kTokenUse, "another scheme than Bearer: 401, or 403", kNothing,
     [](Probe& p) { return Unknown(p.Tokenless(p.Records(), {"Authorization: Basic c2ttYzpjb25mb3Jt"})); }},
    {"security.empty-token", kTokenUse, "an empty token: 401 (or 400)", kNothing,
     [](Probe& p) {
       return Refused(p.Tokenless(p.Records(), {"Authorization: Bearer "}), {400, 401});
     }},
    {"security.signature-changed", kTokenChecks, "a signature that does not fit: 401", kNothing,
     [](Probe& p) { return ChangedToken(p, [](Parts& token) { Flip(token.signature); }); }},
    {"security.signature-missing", kTokenChecks, "a token without its signature: 401", kNothing,
     [](Probe& p) { return ChangedToken(p, [](Parts& token) { token.signature.clear(); }); }},
    {"security.claims-changed", kTokenChecks, "claims that were not signed: 401", kNothing,
     [](Probe& p) {
       return ChangedToken(p, [](Parts& token) {
         json claims = Decoded(token.payload);
         claims["skmc-conform"] = true;
         token.payload = Encoded(claims);
       });
     }},
    {"security.alg-none", "RFC 8725 3.2", "alg none: 401", kNothing,
     [](Probe& p) {
       return ChangedToken(p, [](Parts& token) {
         token.header = Encoded({{"alg", "none"}, {"typ", "JWT"}});
         token.signature.clear();
       });
     }},
    {"security.expired", "TS 33.434 A.2.2.2, A.8", "a token that has run out: 401", kExpired,
     [](Probe& p) { return Challenged(p.WithToken(p.setup().expired, p.Records())); }},
    {"security.scope", "TS 33.434 A.6, RFC 6750 3.1", "a good token without the scope: 403 (or 401)",
     kUnscoped,
     [](Probe& p) {
       return Refused(p.WithToken(p.setup().unscoped, p.Records()), {401, 403});
     }},
    {"security.no-certificate", "TS 33.434 5.1.1.4, TS 29.549 9.2",
     "without a client certificate there is no key", kNothing,
     [](Probe& p) {
       Endpoint bare = p.setup().km_s;
       bare.certificate_path.clear();
       bare.private_key_path.clear();
       return NoKeyFor(p, bare);
     }},
    {"security.foreign-certificate", "TS 29.549 5.7.1.2.2.2",
     "with a certificate that is not the token's there is no key", kForeign,
     [](Probe& p) { return NoKeyFor(p, p.setup().foreign); }},
    {"security.asserted-identity", "TS 24.547 A.2", "X-3GPP-Asserted-Identity from outside is no identity",
     kNothing,
     [](Probe& p) {
       return Refused(
           p.Tokenless(p.Records(), {"X-3GPP-Asserted-Identity: \"sip:admin@skmc-conform.invalid\""}),
           {400, 401, 403});
     }},
    {"security.old-tls", "TS 33.210 6.2", "TLS 1.1 and older are refused", kNothing,
     [](Probe& p) { return RefusesOldTls(p); }},
};

}  // namespace

std::span<const Case> SecurityCases() { return kSecurityCases; }

}  // namespace skms::client::conform
