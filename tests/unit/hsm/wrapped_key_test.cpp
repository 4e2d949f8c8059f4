#include "hsm/wrapped_key.h"

#include <doctest/doctest.h>
#include <openssl/ec.h>

#include "hsm/openssl_agreement.h"

namespace skms::hsm {
namespace {

bool IsEc(const PkeyPtr& key) {
  const Bytes spki = PublicSpki(key.get()).value();
  const Recipient recipient = PublicKeyRecipient(spki);
  if (const auto* ec = std::get_if<EcRecipient>(&recipient)) {
    CHECK(ec->spki == spki);
    return true;
  }
  CHECK(std::get<RsaRecipient>(recipient).spki == spki);
  return false;
}

TEST_CASE("a public key says by its algorithm which kind of recipient it makes") {
  CHECK_FALSE(IsEc(GenerateRsa().value()));
  CHECK(IsEc(GenerateEc(Curve::kP256).value()));
  CHECK(IsEc(GenerateEc(Curve::kP384).value()));
  // Curves that are refused later, and in the words of EC: their lengths take longer headers.
  CHECK(IsEc(PkeyPtr(EVP_EC_gen("P-521"))));
  CHECK(IsEc(PkeyPtr(EVP_EC_gen("secp256k1"))));
  CHECK_FALSE(IsEc(PkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"))));
}

TEST_CASE("rubbish makes a recipient that no key can be wrapped to") {
  for (const Bytes& spki : {Bytes{}, Bytes{0x30}, Bytes(100, 0x06)}) {
    CHECK(std::holds_alternative<RsaRecipient>(PublicKeyRecipient(spki)));
    CHECK(RsaNumbersFromSpki(spki).error().code == ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace skms::hsm
