// SEAL KM Request as JSON: every field of table 5.3.2-1, each way it can be wrong, and keys to deliver to.
#include "api/seal/km_message.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "api/seal/public_jwk.h"
#include "api/seal/replay_guard.h"
#include "base/encoding.h"

namespace skms::seal {
namespace {

using keystore::TargetKind;
using nlohmann::json;

constexpr std::int64_t kNow = 1'800'000'000;

KmExpectation Expected() {
  return {{ParseApiRoot("https://kms.test:8444/x"), ParseApiRoot("https://kms.test")}, kNow, 5};
}

json Good() {
  return {
      {"version", "1.0.0"}, {"skmsUri", "https://kms.test:8444/x"}, {"serviceId", "s"}, {"dateTime", kNow}};
}

struct Outcome {
  int status = 200;
  std::string param;
  KmMessage message;
};

Outcome Decode(const json& body) {
  Outcome out;
  const auto problem = DecodeKmMessage(body, Expected(), out.message);
  if (!problem) return out;
  out.status = problem->status;
  CHECK(problem->error_code == "04");
  REQUIRE(problem->invalid_params.size() == 1);
  out.param = problem->invalid_params[0].param;
  return out;
}

Outcome With(const char* member, const json& value) {
  json body = Good();
  body[member] = value;
  return Decode(body);
}

TEST_CASE("a service alone, or with one of client, device and user; strangers are passed over") {
  CHECK(Decode(Good()).message.selector.kind == TargetKind::kService);
  for (const auto& [member, kind] :
       {std::pair("clientId", TargetKind::kClient), std::pair("deviceId", TargetKind::kUe),
        std::pair("userId", TargetKind::kUser)}) {
    const Outcome out = With(member, "x");
    CHECK(out.status == 200);
    CHECK(out.message.selector.kind == kind);
    CHECK(Echo(out.message.selector) ==
          std::vector<std::pair<std::string, std::string>>{{"serviceId", "s"}, {member, "x"}});
  }
  CHECK(With("vendorSpecific-1", {{"a", 1}}).status == 200);
}

TEST_CASE("what is missing or of another form is named") {
  for (const char* member : {"version", "skmsUri", "serviceId", "dateTime"}) {
    CAPTURE(member);
    json body = Good();
    body.erase(member);
    CHECK(Decode(body).param == std::string("/") + member);
    for (const json& value :
         {json(nullptr), json(true), json::array(), json::object(), json(-1), json(1.5), json("")}) {
      CAPTURE(value.dump());
      const Outcome out = With(member, value);
      CHECK(out.status == 400);
      CHECK(out.param == std::string("/") + member);
    }
  }
  CHECK(With("version", "1.0.1").param == "/version");
  CHECK(With("serviceId", std::string(256, 'x')).param == "/serviceId");
  CHECK(With("serviceId", "a\nb").param == "/serviceId");
  CHECK(With("userId", 7).param == "/userId");
  CHECK(With("deviceId", "").param == "/deviceId");
}

TEST_CASE("two identities are refused, whichever two") {
  for (const auto& [one, other] : {std::pair("clientId", "deviceId"), std::pair("deviceId", "userId"),
                                   std::pair("clientId", "userId")}) {
    json body = Good();
    body[one] = "x";
    body[other] = "x";
    CHECK(Decode(body).status == 400);
  }
}

TEST_CASE("the URI names this server, in any form that is the same") {
  for (const char* uri :
       {"https://KMS.test:8444/x", "https://kms.test:8444/x/", "https://kms.test", "https://kms.test:443/"})
    CHECK(With("skmsUri", uri).status == 200);
  for (const char* uri : {"https://kms.test:8444", "https://kms.test:8444/X", "http://kms.test",
                          "https://kms.test.evil", "https://", "kms.test", "https://kms.test:8444/x?y"}) {
    CAPTURE(uri);
    CHECK(With("skmsUri", uri).param == "/skmsUri");
  }
}

TEST_CASE("the window holds on both sides, to the second, and echoes what it refuses") {
  for (const std::int64_t apart : {-5, 0, 5}) CHECK(With("dateTime", kNow + apart).status == 200);
  for (const json& time : {json(kNow - 6), json(kNow + 6), json(0), json(INT64_MAX)}) {
    const Outcome out = With("dateTime", time);
    CHECK(out.status == 403);
    CHECK(out.message.selector.service.value() == "s");
  }
  CHECK(With("dateTime", std::to_string(kNow)).status == 400);
  CHECK(With("dateTime", 18446744073709551615U).status == 400);
}

TEST_CASE("a request is served once within the window where that is asked for") {
  ReplayGuard guard(2);
  const Sha256Digest a{1};
  const Sha256Digest b{2};
  const Sha256Digest c{3};
  using Verdict = ReplayGuard::Verdict;
  CHECK(guard.Take(a, 100, 105) == Verdict::kFresh);
  CHECK(guard.Take(a, 105, 105) == Verdict::kSeen);
  CHECK(guard.Take(b, 101, 103) == Verdict::kFresh);
  CHECK(guard.Take(c, 103, 108) == Verdict::kFull);
  CHECK(guard.Take(c, 104, 109) == Verdict::kFresh);
  CHECK(guard.Take(a, 106, 111) == Verdict::kFresh);
}

TEST_CASE("the thumbprint is RFC 7638's, and a key has one form") {
  // The example of RFC 7638 3.1.
  const std::string n =
      "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
      "BJECPebWKRXjBZCiFV4n3oknjhMs"
      "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
      "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn"
      "1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
      "kEgU8awapJzKnqDKgw";
  const auto key =
      ReadRecipientJwk({{"kty", "RSA"}, {"n", n}, {"e", "AQAB"}, {"alg", "RS256"}, {"kid", "2011-04-29"}});
  REQUIRE(key.has_value());
  CHECK(key.value().thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  CHECK(PublicJwk(key.value().spki).value() == json{{"kty", "RSA"}, {"n", n}, {"e", "AQAB"}});
  const std::string zero = ToBase64Url(Bytes{0, 1, 0, 1});
  for (const json& jwk :
       {json{{"kty", "RSA"}, {"n", n}, {"e", zero}}, json{{"kty", "RSA"}, {"n", n}, {"e", "AQ"}},
        json{{"kty", "RSA"}, {"n", n}}, json{{"kty", "RSA"}, {"n", "AQAB"}, {"e", "AQAB"}},
        json{{"kty", "EC"}, {"n", n}, {"e", "AQAB"}}, json{{"n", n}, {"e", "AQAB"}},
        json{{"kty", "RSA"}, {"n", n}, {"e", "AQAB"}, {"d", "x"}}, json("RSA"), json(nullptr),
        json{{"kty", "RSA"}, {"n", ToBase64Url(Bytes(1025, 0xFF))}, {"e", "AQAB"}}}) {
    CAPTURE(jwk.dump());
    CHECK(ReadRecipientJwk(jwk).error().code == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("an EC key on P-256 or P-384 is one too, its coordinates in full and on the curve") {
  // The example of RFC 7517 A.1 (P-256) and the generator of P-384 (SEC 2, 2.5.1); thumbprints by jwcrypto.
  const std::string x = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
  const std::string y = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
  const auto key = ReadRecipientJwk({{"kty", "EC"}, {"crv", "P-256"}, {"x", x}, {"y", y}, {"use", "enc"}});
  REQUIRE(key.has_value());
  CHECK(key.value().thumbprint == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
  CHECK(PublicJwk(key.value().spki).value() == json{{"kty", "EC"}, {"crv", "P-256"}, {"x", x}, {"y", y}});
  const std::string x3 = "qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3";
  const std::string y3 = "NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f";
  const auto large = ReadRecipientJwk({{"kty", "EC"}, {"crv", "P-384"}, {"x", x3}, {"y", y3}});
  REQUIRE(large.has_value());
  CHECK(large.value().thumbprint == "-W6Wzot_wuerYbKBVKfGEks3iY2EALna-hBqObnPuJE");
  const std::string long_x = ToBase64Url(Bytes(33, 0));
  for (const json& jwk :
       {json{{"kty", "EC"}, {"crv", "P-384"}, {"x", x}, {"y", y}},
        json{{"kty", "EC"}, {"crv", "P-256"}, {"x", y}, {"y", x}},
        json{{"kty", "EC"}, {"crv", "P-256"}, {"x", long_x}, {"y", y}},
        json{{"kty", "EC"}, {"crv", "P-256"}, {"x", x}},
        json{{"kty", "EC"}, {"crv", "secp256k1"}, {"x", x}, {"y", y}},
        json{{"kty", "EC"}, {"crv", 256}, {"x", x}, {"y", y}}, json{{"kty", "EC"}, {"x", x}, {"y", y}},
        json{{"kty", "EC"}, {"crv", "P-256"}, {"x", x}, {"y", y}, {"d", "x"}},
        json{{"kty", "OKP"}, {"crv", "X25519"}, {"x", x}}}) {
    CAPTURE(jwk.dump());
    CHECK(ReadRecipientJwk(jwk).error().code == ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace skms::seal
