#include "hsm/openssl_agreement.h"

#include <doctest/doctest.h>

namespace skms::hsm {
namespace {

TEST_CASE("both sides of an agreement derive one key, and other information another") {
  for (const Curve curve : {Curve::kP256, Curve::kP384}) {
    const PkeyPtr one = GenerateEc(curve).value();
    const PkeyPtr other = GenerateEc(curve).value();
    const Bytes info(20, 1);
    const SecretBytes here = EcdhX963(one.get(), PublicSpki(other.get()).value(), info).value();
    const SecretBytes there = EcdhX963(other.get(), PublicSpki(one.get()).value(), info).value();
    CHECK(here.size() == 32);
    CHECK(ConstantTimeEqual(here.ExposeSecret(), there.ExposeSecret()));
    const SecretBytes otherwise = EcdhX963(one.get(), PublicSpki(other.get()).value(), Bytes(20, 2)).value();
    CHECK_FALSE(ConstantTimeEqual(here.ExposeSecret(), otherwise.ExposeSecret()));
  }
}

TEST_CASE("keys of two curves do not agree") {
  const PkeyPtr p256 = GenerateEc(Curve::kP256).value();
  const PkeyPtr p384 = GenerateEc(Curve::kP384).value();
  CHECK(EcdhX963(p256.get(), PublicSpki(p384.get()).value(), {}).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("a public key goes to its point and back, on both curves") {
  for (const Curve curve : {Curve::kP256, Curve::kP384}) {
    const Bytes spki = PublicSpki(GenerateEc(curve).value().get()).value();
    const EcPublicKey key = EcPublicKeyFromSpki(spki).value();
    CHECK(key.curve == curve);
    CHECK(SpkiFromPoint(curve, key.point).value() == spki);
    Bytes der{0x04, static_cast<std::uint8_t>(key.point.size())};
    der.insert(der.end(), key.point.begin(), key.point.end());
    CHECK(SpkiFromPoint(curve, der).value() == spki);
    Bytes off_curve = spki;
    off_curve.back() ^= 1U;
    CHECK(EcPublicKeyFromSpki(off_curve).has_error());
    Bytes longer = spki;
    longer.push_back(0);
    CHECK(EcPublicKeyFromSpki(longer).has_error());
  }
  CHECK(EcPublicKeyFromSpki({}).has_error());
  CHECK(EcPublicKeyFromSpki(PublicSpki(GenerateRsa().value().get()).value()).has_error());
}

}  // namespace
}  // namespace skms::hsm
