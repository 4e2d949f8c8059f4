#include "client/open_key.h"

#include <doctest/doctest.h>

#include <string>

#include "base/encoding.h"
#include "base/file.h"
#include "client/crypto.h"
#include "tests/support/temporary_directory.h"

namespace skms::client {
namespace {

/// Made with the commands of docs/wire-format.md in reverse, by OpenSSL 3.0.19 alone: two pairs by `openssl
/// genpkey`, the agreement by `openssl pkeyutl -derive` (kdf-type X963KDF, kdf-digest SHA256, kdf-ukm the
/// name of the alg) and the wrap by `openssl enc -id-aes256-wrap-pad`.
struct KnownAnswer {
  const char* alg;
  const char* private_key;
  const char* curve;
  const char* x;
  const char* y;
  const char* encrypted_key;
  const char* plain;
};

const KnownAnswer kKnown[] = {
    {"A256GCM",
     "-----BEGIN PRIVATE KEY-----\n"
     "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmhhIMtCCJQ169RAT\n"
     "XwzGrPvK+r1aoQfJVZLe0fn2nuyhRANCAATqF+jmjg8RLAznWO7CXLRx1isC+3u9\n"
     "zo9Pg2dW5VztsbfYROloq9RvMe3IjhAPC3UFMs1dZooeSTuK6jiQSHKU\n"
     "-----END PRIVATE KEY-----\n",
     "P-256", "dd33d4982801fc33ee4a7114ed9d173b90497e46a4963d52296f8d13e489fa6a",
     "dc482f228a7f19de0723805a10ab050d8ce0f77787e653aa8a4ee22b430c0ac6",
     "d3a4d7bab414d10d14b27a9d2b475213636193c1958fb52e4baa3c248d7c4c1ee34fee91e2ca2afa",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
    {"A128GCM",
     "-----BEGIN PRIVATE KEY-----\n"
     "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDDmTDTP9zGmd0+mAR4\n"
     "i9oyPoNukT1O90J3/bkjm9vh+X8Al8LhT0j64hc3Z5Hz/2ChZANiAAQWJGyk9M8B\n"
     "UUT+k5L0Z8Y/hzhaXHFcgrJeYueGDnndUZmqkwh2eAxMdfac5BOCot/tAMBplSKu\n"
     "X2sLHrtTRoYOeQimI0J0MwNKfCiRYj1khXZHXBsGJdDCUXqgMauietE=\n"
     "-----END PRIVATE KEY-----\n",
     "P-384",
     "79a7ef1216b4bbae4dc0c3e2d2bc1f33a880ef7665c041bdf818578d6977b5d4641a0050f4c8fa0bf41d8dcd3c4d6192",
     "94bf2a360fbe45791c0b0e54313fc040aaecbc70d86994cd3ab81f90120fa4e8df30bfa6a99cf655586b7e36827f1687",
     "50926842e795a85800bca87ce91ad68213a6b757e7bbffb0", "202122232425262728292a2b2c2d2e2f"}};

/// A known answer with its private key in a file of its own.
class EcRecipient {
 public:
  explicit EcRecipient(const KnownAnswer& known) {
    key_.alg = known.alg;
    key_.wrap_alg = "ECDH-ES+A256KWP";
    key_.recipient = "r";
    key_.ephemeral = {known.curve, *FromHex(known.x), *FromHex(known.y)};
    key_.encrypted_key = *FromHex(known.encrypted_key);
    holder_.private_key_path = directory_.File("private.pem");
    REQUIRE(WriteFileAtomically(holder_.private_key_path, AsBytes(std::string(known.private_key)), 0600)
                .has_value());
  }

  ReceivedKey& key() { return key_; }
  const std::string& path() const { return holder_.private_key_path; }
  Result<SecretBytes> Open() const { return OpenKey(key_, holder_); }

 private:
  test::TemporaryDirectory directory_;
  ReceivedKey key_;
  RecipientKey holder_;
};

TEST_CASE("what OpenSSL wrapped to a key on P-256 or P-384 is opened") {
  for (const KnownAnswer& known : kKnown) {
    CAPTURE(known.curve);
    const auto opened = EcRecipient(known).Open();
    INFO((opened.has_error() ? opened.error().Describe() : ""));
    REQUIRE(opened.has_value());
    CHECK(ToHex(opened.value().ExposeSecret()) == known.plain);
  }
}

TEST_CASE(
    "an ephemeral key that is no point of the recipient's curve is refused before anything is derived") {
  for (const KnownAnswer& known : kKnown) {
    CAPTURE(known.curve);
    EcRecipient off_curve(known);
    off_curve.key().ephemeral.y.back() ^= 1U;
    CHECK(off_curve.Open().error().detail.find("is no point of") != std::string::npos);
    EcRecipient shortened(known);
    shortened.key().ephemeral.x.pop_back();
    CHECK(shortened.Open().error().detail.find("is no point of") != std::string::npos);
    EcRecipient none(known);
    none.key().ephemeral = {};
    CHECK(none.Open().error().code == ErrorCode::kIntegrity);
  }
  EcRecipient other_curve(kKnown[0]);
  other_curve.key().ephemeral = {kKnown[1].curve, *FromHex(kKnown[1].x), *FromHex(kKnown[1].y)};
  CHECK(other_curve.Open().error().code == ErrorCode::kIntegrity);
}

TEST_CASE("changed octets, another sender's point and another length of key do not open") {
  EcRecipient changed(kKnown[0]);
  changed.key().encrypted_key.back() ^= 1U;
  CHECK(changed.Open().error().code == ErrorCode::kIntegrity);
  EcRecipient another(kKnown[0]);
  // The generator of P-256 (SEC 2, 2.4.2): on the curve, and not what the sender used.
  another.key().ephemeral.x = *FromHex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
  another.key().ephemeral.y = *FromHex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
  CHECK(another.Open().error().code == ErrorCode::kIntegrity);
  EcRecipient shorter(kKnown[0]);
  shorter.key().alg = "A128GCM";
  CHECK(shorter.Open().error().detail.find("32 octets, not the 16") != std::string::npos);
}

TEST_CASE("the kind of private key that is missing is named") {
  EcRecipient ec_wanted(kKnown[0]);
  CHECK(OpenKey(ec_wanted.key(), {}).error().detail.find("an EC private key is needed") != std::string::npos);
  EcRecipient rsa_wanted(kKnown[0]);
  rsa_wanted.key().wrap_alg = "RSA-OAEP-256";
  CHECK(rsa_wanted.Open().error().code == ErrorCode::kConfiguration);
  CHECK(rsa_wanted.Open().error().detail.find("no RSA private key") != std::string::npos);
}

TEST_CASE("the JWK of an EC key has the members that its thumbprint counts, with coordinates in full") {
  for (const KnownAnswer& known : kKnown) {
    const std::string jwk = PublicJwk(EcRecipient(known).path()).value();
    CHECK(jwk.rfind(std::string(R"({"kty":"EC","crv":")") + known.curve + R"(","x":")", 0) == 0);
    const std::size_t text = std::string(known.curve) == "P-256" ? 43 : 64;
    CHECK(jwk.size() == std::string(R"({"kty":"EC","crv":"P-256","x":"","y":""})").size() + 2 * text);
  }
}

}  // namespace
}  // namespace skms::client
