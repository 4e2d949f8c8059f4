#include "client/key_answer.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "client/key_management_client.h"
#include "client/open_key.h"
#include "client/printable.h"
#include "client/problem.h"

namespace skms::client {
namespace {

using nlohmann::json;

json Key() {
  return {{"kid", "k1"},
          {"service", "s"},
          {"scope", "user"},
          {"target", "u"},
          {"alg", "A256GCM"},
          {"state", "active"},
          {"nbf", 5},
          {"version", 2},
          {"wrapped", {{"alg", "RSA-OAEP"}, {"recipient", "r"}, {"encryptedKey", "AQID"}}}};
}

std::string Answer(const json& key, const json& target = {{"valUserId", "u"}},
                   const std::string& service = "s") {
  json info{{"userUri", "urn:u"},
            {"valService", service},
            {"keyInfo", json{{"keys", {key}}, {"skms", "x"}, {"time", 1}}.dump()}};
  if (!target.is_null()) info["valTgtUe"] = target;
  return info.dump();
}

const KeyQuery kUserQuery{"s", "u", ""};

TEST_CASE("an answer to what was asked is decoded") {
  const auto answer = DecodeAnswer(Answer(Key()), kUserQuery);
  REQUIRE(answer.has_value());
  const ReceivedKey& key = answer.value().keys.at(0);
  CHECK(key.kid == "k1");
  CHECK(key.version == 2);
  CHECK(key.wrap_alg == "RSA-OAEP");
  CHECK(key.encrypted_key == Bytes{1, 2, 3});
}

TEST_CASE("an ephemeral key comes along, and one that is none is refused") {
  json key = Key();
  key["wrapped"]["alg"] = "ECDH-ES+A256KWP";
  key["wrapped"]["epk"] = {{"kty", "EC"}, {"crv", "P-256"}, {"x", "AQ"}, {"y", "Ag"}};
  const KeyAnswer answer = DecodeAnswer(Answer(key), kUserQuery).value();
  const EphemeralKey& ephemeral = answer.keys.at(0).ephemeral;
  CHECK(ephemeral.curve == "P-256");
  CHECK(ephemeral.x == Bytes{1});
  CHECK(ephemeral.y == Bytes{2});
  for (const json& epk : {json(nullptr), json("x"), json{{"kty", "RSA"}, {"n", "AQ"}},
                          json{{"kty", "EC"}, {"crv", "P-256"}, {"x", "?"}, {"y", "Ag"}}}) {
    CAPTURE(epk.dump());
    key["wrapped"]["epk"] = epk;
    CHECK(DecodeAnswer(Answer(key), kUserQuery).error().code == ErrorCode::kIntegrity);
  }
}

TEST_CASE("a group's key that comes along is taken when its group is named, and passed over when not") {
  json group = Key();
  group["scope"] = "group";
  group["target"] = "g";
  KeyQuery of_group = kUserQuery;
  of_group.group = "g";
  CHECK(DecodeAnswer(Answer(group), of_group).value().keys.at(0).group == "g");
  CHECK(DecodeAnswer(Answer(group), kUserQuery).error().code == ErrorCode::kNotFound);
  CHECK(DecodeAnswer(Answer(Key()), of_group).error().code == ErrorCode::kNotFound);
  json both{{"keys", {Key(), group}}, {"skms", "x"}, {"time", 1}};
  json info = json::parse(Answer(Key()));
  info["keyInfo"] = both.dump();
  CHECK(DecodeAnswer(info.dump(), kUserQuery).value().keys.size() == 1);
  group["service"] = "t";
  CHECK(DecodeAnswer(Answer(group), of_group).error().code == ErrorCode::kIntegrity);
  group["service"] = "s";
  CHECK(DecodeAnswer(Answer(group, nullptr), {"s", "", ""}).error().code == ErrorCode::kIntegrity);
}

TEST_CASE("an answer for another service, user or kind of key is refused") {
  CHECK(DecodeAnswer(Answer(Key(), {{"valUserId", "u"}}, "t"), kUserQuery).error().code ==
        ErrorCode::kIntegrity);
  CHECK(DecodeAnswer(Answer(Key(), {{"valUserId", "v"}}), kUserQuery).has_error());
  CHECK(DecodeAnswer(Answer(Key(), {{"valUeId", "u"}}), kUserQuery).has_error());
  CHECK(DecodeAnswer(Answer(Key(), nullptr), kUserQuery).has_error());
  for (const auto& [member, value] :
       {std::pair("service", "t"), std::pair("scope", "service"), std::pair("target", "v")}) {
    json other = Key();
    other[member] = value;
    CHECK(DecodeAnswer(Answer(other), kUserQuery).error().detail.find("not asked for") != std::string::npos);
  }
  CHECK(DecodeAnswer(Answer(Key()), {"s", "", ""}).has_error());
}

TEST_CASE("what is no answer at all is refused, not crashed on") {
  json bad_material = Key();
  bad_material["wrapped"] = "x";
  json bad_base64 = Key();
  bad_base64["wrapped"]["encryptedKey"] = "***";
  json bad_number = Key();
  bad_number["version"] = "two";
  for (const std::string& body : {std::string(), std::string("[]"), std::string("{}"), Answer(bad_material),
                                  Answer(bad_base64), Answer(bad_number), Answer(json(1))}) {
    CAPTURE(body);
    CHECK(DecodeAnswer(body, kUserQuery).error().code == ErrorCode::kIntegrity);
  }
}

TEST_CASE("nesting without end is refused wherever it stands, not followed down the stack") {
  const std::string deep = std::string(1000000, '[');
  const std::string closed = deep + std::string(1000000, ']');
  json info = json::parse(Answer(Key()));
  for (const std::string& nested :
       {deep, closed, R"({"keys":)" + closed + "}", R"({"keys":[{"a":)" + closed + "}]}"}) {
    info["keyInfo"] = nested;
    CHECK(DecodeAnswer(info.dump(), kUserQuery).error().code == ErrorCode::kIntegrity);
    CHECK(DecodeAnswer(nested, kUserQuery).error().code == ErrorCode::kIntegrity);
    CHECK(DecodeKmResponse(R"({"skmsUri":"https://k","payload":)" + nested + "}", kUserQuery, "https://k")
              .has_error());
    CHECK(ReadProblem({400, {}, nested}).title.empty());
  }
}

TEST_CASE("numbers that cannot be times or versions are refused") {
  for (const json& wrong : {json(1e300), json(-1), json(1.5), json("1"), json(std::uint64_t{1} << 63)}) {
    for (const char* member : {"nbf", "exp", "version"}) {
      CAPTURE(wrong.dump());
      json key = Key();
      key[member] = wrong;
      CHECK(DecodeAnswer(Answer(key), kUserQuery).error().code == ErrorCode::kIntegrity);
    }
  }
}

TEST_CASE("a key of another length than its alg's is no key") {
  json plain = Key();
  plain.erase("wrapped");
  for (const auto& [alg, octets] :
       {std::pair("A128GCM", 16), std::pair("A256GCM", 32), std::pair("HS256", 32)}) {
    plain["alg"] = alg;
    for (const int size : {octets - 1, octets, octets + 1}) {
      plain["k"] = ToBase64Url(Bytes(static_cast<std::size_t>(size), 7));
      const auto opened = OpenKey(DecodeAnswer(Answer(plain), kUserQuery).value().keys[0], {});
      CHECK(opened.has_value() == (size == octets));
    }
  }
}

TEST_CASE("a KM Response names its sender and echoes what was asked") {
  const json keys{{"keys", {Key()}}, {"skms", "x"}};
  const json good{
      {"userUri", "urn:u"}, {"skmsUri", "https://k"}, {"serviceId", "s"}, {"userId", "u"}, {"payload", keys}};
  REQUIRE(DecodeKmResponse(good.dump(), kUserQuery, "https://k").has_value());
  CHECK(DecodeKmResponse(good.dump(), kUserQuery, "https://other").error().code == ErrorCode::kIntegrity);
  for (const char* member : {"serviceId", "userId", "deviceId", "clientId"}) {
    json wrong = good;
    wrong[member] = "mallory";
    CHECK(DecodeKmResponse(wrong.dump(), kUserQuery, "https://k").error().code == ErrorCode::kIntegrity);
  }
}

TEST_CASE("what a server says cannot steer a terminal") {
  CHECK(Printable("a\x1b]0;x\x07\nb\x7f") == "a?]0;x??b?");
  CHECK(Printable("\xc2\x9b"
                  "31m \xc3\xa9") == "??31m \xc3\xa9");
  CHECK(Printable("\xff\xfe") == "??");
  CHECK(Printable("a\xc2") == "a?");
}

TEST_CASE("plaintext keys open as they are; the right kind of recipient key is asked for") {
  json plain = Key();
  plain.erase("wrapped");
  plain["k"] = ToBase64Url(Bytes(32, 3));
  auto answer = DecodeAnswer(Answer(plain), kUserQuery);
  REQUIRE(answer.has_value());
  CHECK(AsText(OpenKey(answer.value().keys[0], {}).value().ExposeSecret()) == std::string(32, 3));

  auto wrapped = DecodeAnswer(Answer(Key()), kUserQuery);
  ReceivedKey& key = wrapped.value().keys[0];
  CHECK(OpenKey(key, {}).error().detail.find("--recipient-key") != std::string::npos);
  key.wrap_alg = "A256KWP";
  CHECK(OpenKey(key, {}).error().detail.find("--transport-key") != std::string::npos);
  key.wrap_alg = "ROT13";
  CHECK(OpenKey(key, {}).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("the request's target is encoded whole") {
  CHECK(KeyRecordsTarget({"a b&c", "", ""}) == "/ss-kir/v1/key-records?val-service-id=a%20b%26c");
  CHECK(KeyRecordsTarget(kUserQuery) ==
        "/ss-kir/v1/key-records?val-service-id=s&val-tgt-ue=%7B%22valUserId%22%3A%22u%22%7D");
}

}  // namespace
}  // namespace skms::client
