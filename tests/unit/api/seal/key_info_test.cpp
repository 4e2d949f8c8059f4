#include "api/seal/key_info.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"

namespace skms::seal {
namespace {

using keystore::Selector;
using keystore::TargetKind;
using keystore::ValServiceId;
using nlohmann::json;

const AnswerFrame kFrame{"skms-1", "https://kms.example", 1000};

keystore::DeliveryAnswer AnswerFor(const Selector& selector) {
  keystore::DeliveredVersion key;
  key.version.kid = keystore::Kid("kid-1");
  key.version.selector = selector;
  key.version.not_before = 900;
  key.version.version = 3;
  key.profile = keystore::FindKeyProfile("aes-256").value();
  key.recipient = "val-1";
  key.wrapped = hsm::DeliveredKey{"RSA-OAEP", {1, 2, 3}, {}, {}};
  keystore::DeliveryAnswer answer;
  answer.service.id = selector.service;
  answer.keys.push_back(std::move(key));
  return answer;
}

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
  keystore::DeliveryAnswer answer = AnswerFor(selector);
  const auto ops = [&](keystore::KeyState state, const char* profile) {
    answer.keys[0].version.state = state;
    answer.keys[0].version.released = true;
    answer.keys[0].profile = keystore::FindKeyProfile(profile).value();
    return KeyIn(answer).at("key_ops");
  };
  CHECK(ops(keystore::KeyState::kPreActive, "aes-256") == json::array({"encrypt", "decrypt"}));
  CHECK(ops(keystore::KeyState::kDeactivated, "aes-256") == json::array({"decrypt"}));
  CHECK(ops(keystore::KeyState::kCompromised, "aes-128") == json::array({"decrypt"}));
  CHECK(ops(keystore::KeyState::kActive, "hmac-sha256") == json::array({"sign", "verify"}));
  CHECK(ops(keystore::KeyState::kDeactivated, "ec-p256") == json::array({"verify"}));
}

TEST_CASE("a service key has no target, an end only where there is one, plaintext only as k") {
  const Selector selector{ValServiceId("s"), TargetKind::kService, ""};
  keystore::DeliveryAnswer answer = AnswerFor(selector);
  answer.keys[0].version.not_after = 2000;
  answer.keys[0].wrapped.reset();
  answer.keys[0].plaintext = SecretBytes::CopyOf(Bytes{255});
  const json key = KeyIn(answer);
  CHECK_FALSE(key.contains("target"));
  CHECK(key.at("exp") == 2000);
  CHECK(key.at("k") == "_w");
  CHECK_FALSE(key.contains("wrapped"));
}

TEST_CASE("a key without material is an error, not an empty answer") {
  keystore::DeliveryAnswer answer = AnswerFor({ValServiceId("s"), TargetKind::kService, ""});
  answer.keys[0].wrapped.reset();
  CHECK(EncodeKeyInfo(answer, kFrame).error().code == ErrorCode::kInternal);
}

TEST_CASE("an EC key carries its public half as a JWK") {
  keystore::DeliveryAnswer answer = AnswerFor({ValServiceId("s"), TargetKind::kService, ""});
  // The generator of P-256 (SEC 2, 2.4.2) as SubjectPublicKeyInfo (RFC 5480).
  const std::string x = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
  const std::string y = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
  answer.keys[0].version.public_key =
      FromHex("3059301306072a8648ce3d020106082a8648ce3d03010703420004" + x + y).value();
  const json jwk = KeyIn(answer).at("publicKey");
  CHECK(jwk.at("crv") == "P-256");
  CHECK(jwk.at("x") == ToBase64Url(*FromHex(x)));
  CHECK(jwk.at("y") == ToBase64Url(*FromHex(y)));

  answer.keys[0].version.public_key.back() ^= 1;  // a point beside the curve
  CHECK(EncodeKeyInfo(answer, kFrame).has_error());
}

TEST_CASE("a key for an EC recipient carries the token's ephemeral key as a JWK") {
  keystore::DeliveryAnswer answer = AnswerFor({ValServiceId("s"), TargetKind::kService, ""});
  // The generator of P-384 (SEC 2, 2.5.1).
  const std::string x =
      "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7";
  const std::string y =
      "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f";
  answer.keys[0].wrapped =
      hsm::DeliveredKey{"ECDH-ES+A256KWP",
                        {1, 2, 3},
                        {},
                        FromHex("3076301006072a8648ce3d020106052b8104002203620004" + x + y).value()};
  CHECK(KeyIn(answer).at("wrapped") == json{{"alg", "ECDH-ES+A256KWP"},
                                            {"recipient", "val-1"},
                                            {"encryptedKey", "AQID"},
                                            {"epk",
                                             {{"kty", "EC"},
                                              {"crv", "P-384"},
                                              {"x", ToBase64Url(*FromHex(x))},
                                              {"y", ToBase64Url(*FromHex(y))}}}});
  answer.keys[0].wrapped->ephemeral_spki.back() ^= 1;  // a point beside the curve
  CHECK(EncodeKeyInfo(answer, kFrame).error().code == ErrorCode::kInternal);
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

TEST_CASE("the entity tag changes with kid, state and recipient only") {
  const Selector selector{ValServiceId("s"), TargetKind::kService, ""};
  const std::string tag = EntityTag(AnswerFor(selector));
  keystore::DeliveryAnswer other_bytes = AnswerFor(selector);
  other_bytes.keys[0].wrapped->encrypted_key = {9};
  CHECK(EntityTag(other_bytes) == tag);
  keystore::DeliveryAnswer other_recipient = AnswerFor(selector);
  other_recipient.keys[0].recipient = "val-2";
  CHECK(EntityTag(other_recipient) != tag);
  keystore::DeliveryAnswer other_state = AnswerFor(selector);
  other_state.keys[0].version.state = keystore::KeyState::kDeactivated;
  CHECK(EntityTag(other_state) != tag);
}

}  // namespace
}  // namespace skms::seal
