#include "hsm/openssl_keys.h"

#include <doctest/doctest.h>

#include "base/encoding.h"
#include "hsm/openssl_agreement.h"

namespace skms::hsm {
namespace {

TEST_CASE("the software RFC 5649 keeps lengths and refuses what was changed") {
  const Bytes kek(32, 1);
  for (const std::size_t size : {1U, 7U, 8U, 9U, 16U, 20U, 32U, 138U}) {
    const Bytes key(size, 0xA5);
    const Bytes wrapped = WrapRfc5649(kek, key).value();
    CHECK(wrapped.size() == (size + 7) / 8 * 8 + 8);
    CHECK(ConstantTimeEqual(UnwrapRfc5649(kek, wrapped).value().ExposeSecret(), key));
    Bytes changed = wrapped;
    changed.back() ^= 1;
    CHECK(UnwrapRfc5649(kek, changed).error().code == ErrorCode::kIntegrity);
    CHECK(UnwrapRfc5649(Bytes(32, 2), wrapped).has_error());
  }
  CHECK(WrapRfc5649(Bytes(16, 1), Bytes(8, 1)).has_error());
}

TEST_CASE("an RSA key goes to numbers and back") {
  const PkeyPtr key = GenerateRsa().value();
  const Bytes spki = PublicSpki(key.get()).value();
  const RsaPublicNumbers numbers = RsaNumbersFromSpki(spki).value();
  CHECK(numbers.modulus.size() == 256);
  CHECK(numbers.exponent == Bytes{1, 0, 1});
  CHECK(RsaSpkiFromNumbers(numbers.modulus, numbers.exponent).value() == spki);
}

TEST_CASE("a point becomes a key only when it is on the curve, in either coding") {
  // The base point of P-256.
  const Bytes raw = *FromHex(
      "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce"
      "33576b315ece"
      "cbb6406837bf51f5");
  Bytes der{0x04, 0x41};
  der.insert(der.end(), raw.begin(), raw.end());
  const auto spki = SpkiFromPoint(Curve::kP256, der);
  REQUIRE(spki.has_value());
  CHECK(SpkiFromPoint(Curve::kP256, raw).value() == spki.value());
  Bytes off_curve = raw;
  off_curve.back() ^= 1;
  CHECK(SpkiFromPoint(Curve::kP256, off_curve).has_error());
  CHECK(SpkiFromPoint(Curve::kP256, Bytes(65, 0)).has_error());
  CHECK(SpkiFromPoint(Curve::kP256, {}).has_error());
}

}  // namespace
}  // namespace skms::hsm
