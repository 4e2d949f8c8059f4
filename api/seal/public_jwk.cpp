#include "api/seal/public_jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/encoding.h"

namespace skms::seal {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeNumber {
  void operator()(BIGNUM* number) const { BN_free(number); }
};

constexpr int kCoordinateBytes = 32;

/// `bytes` 0: as many as it needs.
Result<std::string> Number(const EVP_PKEY* key, const char* name, int bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return InternalError("a public key lacks a number");
  const std::unique_ptr<BIGNUM, FreeNumber> number(raw);
  Bytes octets(static_cast<std::size_t>(bytes > 0 ? bytes : BN_num_bytes(raw)));
  if (BN_bn2binpad(raw, octets.data(), static_cast<int>(octets.size())) < 0)
    return InternalError("a public key's number is too large");
  return ToBase64Url(octets);
}

bool IsP256(const EVP_PKEY* key) {
  std::array<char, 32> group{};
  return EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1 &&
         std::string_view(group.data()) == "prime256v1";
}

}  // namespace

Result<nlohmann::json> PublicJwk(ByteView spki) {
  const unsigned char* at = spki.data();
  const std::unique_ptr<EVP_PKEY, FreeKey> key(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (key && EVP_PKEY_is_a(key.get(), "RSA") == 1) {
    SKMS_TRY(const std::string n, Number(key.get(), OSSL_PKEY_PARAM_RSA_N, 0));
    SKMS_TRY(const std::string e, Number(key.get(), OSSL_PKEY_PARAM_RSA_E, 0));
    return nlohmann::json{{"kty", "RSA"}, {"n", n}, {"e", e}};
  }
  if (key && EVP_PKEY_is_a(key.get(), "EC") == 1 && IsP256(key.get())) {
    SKMS_TRY(const std::string x, Number(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, kCoordinateBytes));
    SKMS_TRY(const std::string y, Number(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, kCoordinateBytes));
    return nlohmann::json{{"kty", "EC"}, {"crv", "P-256"}, {"x", x}, {"y", y}};
  }
  return InternalError("a public key is neither RSA nor EC P-256");
}

}  // namespace skms::seal
