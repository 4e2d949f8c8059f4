#include "api/seal/key_info.h"

#include <doctest/doctest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/encoding.h"

namespace skms::seal {
namespace {

using keystore::Selector;
using keystore::TargetKind;
using keystore::ValServiceId;
using nlohmann::json;

const AnswerFrame kFrame{"skms-1", "https://kms.example", 1000};

keystore::DeliveredVersion KeyFor(const Selector& selector) {
  keystore::DeliveredVersion key;
  key.version.kid = keystore::Kid("kid-1");
  key.version.selector = selector;
  key.version.not_before = 900;
  key.version.version = 3;
  key.profile = keystore::FindKeyProfile("aes-256").value();
  key.recipient = "val-1";
  key.wrapped = hsm::DeliveredKey{"RSA-OAEP", {1, 2, 3}, {}, {}};
  return key;
}

keystore::DeliveryAnswer AnswerWith(keystore::DeliveredVersion key) {
  keystore::DeliveryAnswer answer;
  keystore::Service service;
  service.id = key.version.selector.service;
  answer.service = std::make_shared<const keystore::Service>(std::move(service));
  std::vector<keystore::DeliveredVersion> keys;
  keys.push_back(std::move(key));
  answer.keys = std::move(keys);
  return answer;
}

keystore::DeliveryAnswer AnswerFor(const Selector& selector) { return AnswerWith(KeyFor(selector)); }

json KeyIn(const keystore::DeliveryAnswer& answer) {
  return json::parse(EncodeKeyInfo(answer, kFrame).value()).at("keys").at(0);
}

TEST_CASE("keyInfo says what the key is and for whom it is wrapped") {
  const Selector selector{ValServiceId("s"), TargetKind::kUser, "u"};
  const json key = KeyIn(AnswerFor(selector));
  CHECK(key == json{{"kid", "kid-1"},
                    {"service", "s"},
                    {"scope", "user"},
                    {"target", "u"},
                    {"alg", "A256GCM"},
                    {"use", "enc"},
                    {"state", "active"},
                    {"key_ops", {"encrypt", "decrypt"}},
                    {"nbf", 900},
                    {"version", 3},
                    {"wrapped", {{"alg", "RSA-OAEP"}, {"recipient", "val-1"}, {"encryptedKey", "AQID"}}}});
}

TEST_CASE("key_ops says what the state and the profile still allow") {
  const Selector selector{ValServiceId("s"), TargetKind::kUser, "u"};
  const auto ops = [&](keystore::KeyState state, const char* profile) {
    keystore::DeliveredVersion key = KeyFor(selector);
    key.version.state = state;
    key.version.released = true;
    key.profile = keystore::FindKeyProfile(profile).value();
    return KeyIn(AnswerWith(std::move(key))).at("key_ops");
  };
  CHECK(ops(keystore::KeyState::kPreActive, "aes-256") == json::array({"encrypt", "decrypt"}));
  CHECK(ops(keystore::KeyState::kDeactivated, "aes-256") == json::array({"decrypt"}));
  CHECK(ops(keystore::KeyState::kCompromised, "aes-128") == json::array({"decrypt"}));
  CHECK(ops(keystore::KeyState::kActive, "hmac-sha256") == json::array({"sign", "verify"}));
  CHECK(ops(keystore::KeyState::kDeactivated, "ec-p256") == json::array({"verify"}));
}

TEST_CASE("a service key has no target, an end only where there is one, plaintext only as k") {
  const Selector selector{ValServiceId("s"), TargetKind::kService, ""};
  keystore::DeliveredVersion plain = KeyFor(selector);
  plain.version.not_after = 2000;
  plain.wrapped.reset();
  plain.plaintext = SecretBytes::CopyOf(Bytes{255});
  const json key = KeyIn(AnswerWith(std::move(plain)));
  CHECK_FALSE(key.contains("target"));
  CHECK(key.at("exp") == 2000);
  CHECK(key.at("k") == "_w");
  CHECK_FALSE(key.contains("wrapped"));
}

TEST_CASE("a key without material is an error, not an empty answer") {
  keystore::DeliveredVersion key = KeyFor({ValServiceId("s"), TargetKind::kService, ""});
  key.wrapped.reset();
  CHECK(EncodeKeyInfo(AnswerWith(std::move(key)), kFrame).error().code == ErrorCode::kInternal);
}

TEST_CASE("an EC key carries its public half as a JWK") {
  const auto with = [](Bytes spki) {
    keystore::DeliveredVersion key = KeyFor({ValServiceId("s"), TargetKind::kService, ""});
    key.version.public_key = std::move(spki);
    return AnswerWith(std::move(key));
  };
  // The generator of P-256 (SEC 2, 2.4.2) as SubjectPublicKeyInfo (RFC 5480).
  const std::string x = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
  const std::string y = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
  Bytes spki = FromHex("3059301306072a8648ce3d020106082a8648ce3d03010703420004" + x + y).value();
  const json jwk = KeyIn(with(spki)).at("publicKey");
  CHECK(jwk.at("crv") == "P-256");
  CHECK(jwk.at("x") == ToBase64Url(*FromHex(x)));
  CHECK(jwk.at("y") == ToBase64Url(*FromHex(y)));

  spki.back() ^= 1;  // a point beside the curve
  CHECK(EncodeKeyInfo(with(spki), kFrame).has_error());
}

TEST_CASE("a key for an EC recipient carries the token's ephemeral key as a JWK") {
  const auto with = [](Bytes spki) {
    keystore::DeliveredVersion key = KeyFor({ValServiceId("s"), TargetKind::kService, ""});
    key.wrapped = hsm::DeliveredKey{"ECDH-ES+A256KWP", {1, 2, 3}, {}, std::move(spki)};
    return AnswerWith(std::move(key));
  };
  // The generator of P-384 (SEC 2, 2.5.1).
  const std::string x =
      "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7";
  const std::string y =
      "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f";
  Bytes spki = FromHex("3076301006072a8648ce3d020106052b8104002203620004" + x + y).value();
  CHECK(KeyIn(with(spki)).at("wrapped") == json{{"alg", "ECDH-ES+A256KWP"},
                                                {"recipient", "val-1"},
                                                {"encryptedKey", "AQID"},
                                                {"epk",
                                                 {{"kty", "EC"},
                                                  {"crv", "P-384"},
                                                  {"x", ToBase64Url(*FromHex(x))},
                                                  {"y", ToBase64Url(*FromHex(y))}}}});
  spki.back() ^= 1;  // a point beside the curve
  CHECK(EncodeKeyInfo(with(spki), kFrame).error().code == ErrorCode::kInternal);
}

TEST_CASE("ValKeyInfo echoes the target and names a user URI") {
  const Selector user{ValServiceId("s/1"), TargetKind::kUser, "sip:a@b"};
  const json info = json::parse(EncodeValKeyInfo(user, AnswerFor(user), kFrame).value());
  CHECK(info.at("userUri") == "sip:a@b");
  CHECK(info.at("valTgtUe") == json{{"valUserId", "sip:a@b"}});
  CHECK(info.at("valService") == "s/1");
  CHECK(info.at("skmsId") == "skms-1");
  CHECK(info.at("keyInfo").is_string());

  keystore::Service service;
  service.id = ValServiceId("s/1");
  const Selector ue{ValServiceId("s/1"), TargetKind::kUe, "d 1"};
  CHECK(UserUri(ue, service, kFrame.api_root) == "https://kms.example/val-services/s%2F1/ues/d%201");
  CHECK(UserUri({ValServiceId("s/1"), TargetKind::kUser, "plain"}, service, kFrame.api_root) ==
        "https://kms.example/val-services/s%2F1/users/plain");
  service.user_uri = "https://uav.example";
  CHECK(UserUri({ValServiceId("s/1"), TargetKind::kService, ""}, service, kFrame.api_root) ==
        "https://uav.example");
}

TEST_CASE("a form that is kept goes out with the time of each request, and is the same JSON otherwise") {
  // Texts that look like the place of the time.
  for (const std::string& target :
       {std::string("u"), std::string("\",\"time\":7}"), std::string("\\\"time\\\":7}\"")}) {
    CAPTURE(target);
    const Selector user{ValServiceId("s"), TargetKind::kUser, target};
    const keystore::DeliveryAnswer answer = AnswerFor(user);
    const auto form = ValKeyInfoForm::Of(user, answer, kFrame).value();
    CHECK(form->entity_tag() == EntityTag(answer));
    for (const std::int64_t time : {0L, 1000L, 253402300799L}) {
      const json info = json::parse(form->At(time));
      json expected = KeyInfoObject(answer, kFrame).value();
      expected["time"] = time;
      CHECK(json::parse(info.at("keyInfo").get<std::string>()) == expected);
      CHECK(info.at("valTgtUe").at("valUserId") == target);
      CHECK(info.size() == 5);
    }
  }
}

TEST_CASE("the entity tag changes with kid, state and recipient only") {
  const Selector selector{ValServiceId("s"), TargetKind::kService, ""};
  const std::string tag = EntityTag(AnswerFor(selector));
  keystore::DeliveredVersion other_bytes = KeyFor(selector);
  other_bytes.wrapped->encrypted_key = {9};
  CHECK(EntityTag(AnswerWith(std::move(other_bytes))) == tag);
  keystore::DeliveredVersion other_recipient = KeyFor(selector);
  other_recipient.recipient = "val-2";
  CHECK(EntityTag(AnswerWith(std::move(other_recipient))) != tag);
  keystore::DeliveredVersion other_state = KeyFor(selector);
  other_state.version.state = keystore::KeyState::kDeactivated;
  CHECK(EntityTag(AnswerWith(std::move(other_state))) != tag);
}

}  // namespace
}  // namespace skms::seal
