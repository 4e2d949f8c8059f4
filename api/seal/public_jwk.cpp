#include "api/seal/public_jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/encoding.h"

namespace skms::seal {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeNumber {
  void operator()(BIGNUM* number) const { BN_free(number); }
};

struct NamedCurve {
  std::string_view jose;
  const char* openssl;
  std::size_t coordinate_bytes;
};
constexpr NamedCurve kCurves[] = {{"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}};

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

/// nullptr: another curve, or none.
const NamedCurve* CurveOf(const EVP_PKEY* key) {
  std::array<char, 32> group{};
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1) return nullptr;
  for (const NamedCurve& curve : kCurves) {
    if (std::string_view(group.data()) == curve.openssl) return &curve;
  }
  return nullptr;
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
  const NamedCurve* curve = key && EVP_PKEY_is_a(key.get(), "EC") == 1 ? CurveOf(key.get()) : nullptr;
  if (curve == nullptr) return InternalError("a public key is neither RSA nor EC on P-256 or P-384");
  const int bytes = static_cast<int>(curve->coordinate_bytes);
  SKMS_TRY(const std::string x, Number(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, bytes));
  SKMS_TRY(const std::string y, Number(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, bytes));
  return nlohmann::json{{"kty", "EC"}, {"crv", curve->jose}, {"x", x}, {"y", y}};
}

namespace {

struct FreeBuilder {
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
};
struct FreeParameters {
  void operator()(OSSL_PARAM* parameters) const { OSSL_PARAM_free(parameters); }
};
struct FreeContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using NumberPtr = std::unique_ptr<BIGNUM, FreeNumber>;

std::optional<Bytes> OctetsMember(const nlohmann::json& jwk, const char* name) {
  const auto member = jwk.find(name);
  if (member == jwk.end() || !member->is_string()) return std::nullopt;
  return FromBase64Url(member->get<std::string>());
}

/// Base64urlUInt: no zeros in front. nullopt: another form.
std::optional<Bytes> UnsignedMember(const nlohmann::json& jwk, const char* name) {
  auto octets = OctetsMember(jwk, name);
  if (octets && (octets->empty() || octets->front() == 0)) octets.reset();
  return octets;
}

/// The key of `type` that `builder` holds, as SubjectPublicKeyInfo DER; nullopt: it holds none.
std::optional<Bytes> SpkiOf(const char* type, OSSL_PARAM_BLD* builder) {
  const std::unique_ptr<OSSL_PARAM, FreeParameters> parameters(OSSL_PARAM_BLD_to_param(builder));
  const std::unique_ptr<EVP_PKEY_CTX, FreeContext> context(
      EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* raw = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
    return std::nullopt;
  const std::unique_ptr<EVP_PKEY, FreeKey> key(raw);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size <= 0) return std::nullopt;
  Bytes spki(der, der + size);
  OPENSSL_free(der);
  return spki;
}

RecipientJwk Named(Bytes spki, const std::string& canonical) {
  return {std::move(spki), ToBase64Url(Sha256(AsBytes(canonical)))};
}

Result<RecipientJwk> ReadRsa(const nlohmann::json& jwk) {
  constexpr std::size_t kSmallest = 256;  // octets: RSA-2048
  constexpr std::size_t kLargest = 1024;
  const auto modulus = UnsignedMember(jwk, "n");
  const auto exponent = UnsignedMember(jwk, "e");
  if (!modulus || !exponent) return InvalidArgument("must have n and e as base64url without zeros in front");
  if (modulus->size() < kSmallest || modulus->size() > kLargest)
    return InvalidArgument("must be an RSA key of 2048 to 8192 bits");
  if (exponent->size() > 8 || (exponent->back() & 1U) == 0 || *exponent == Bytes{1} ||
      (modulus->back() & 1U) == 0)
    return InvalidArgument("is no RSA key");
  const NumberPtr n(BN_bin2bn(modulus->data(), static_cast<int>(modulus->size()), nullptr));
  const NumberPtr e(BN_bin2bn(exponent->data(), static_cast<int>(exponent->size()), nullptr));
  const std::unique_ptr<OSSL_PARAM_BLD, FreeBuilder> builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
    return InternalError("no memory for a key");
  auto spki = SpkiOf("RSA", builder.get());
  if (!spki) return InvalidArgument("is no RSA key");
  return Named(std::move(*spki), R"({"e":")" + ToBase64Url(*exponent) + R"(","kty":"RSA","n":")" +
                                     ToBase64Url(*modulus) + "\"}");
}

/// RFC 7518 6.2.1: coordinates as long as the curve's, zeros in front included.
Result<RecipientJwk> ReadEc(const nlohmann::json& jwk) {
  const nlohmann::json crv = jwk.value("crv", nlohmann::json());
  for (const NamedCurve& curve : kCurves) {
    if (crv != curve.jose) continue;
    const auto x = OctetsMember(jwk, "x");
    const auto y = OctetsMember(jwk, "y");
    if (!x || !y || x->size() != curve.coordinate_bytes || y->size() != curve.coordinate_bytes)
      return InvalidArgument("must have x and y as base64url, each as long as the curve's coordinates");
    Bytes point{0x04};
    point.insert(point.end(), x->begin(), x->end());
    point.insert(point.end(), y->begin(), y->end());
    const std::unique_ptr<OSSL_PARAM_BLD, FreeBuilder> builder(OSSL_PARAM_BLD_new());
    if (!builder ||
        OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.openssl, 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                         point.size()) != 1)
      return InternalError("no memory for a key");
    auto spki = SpkiOf("EC", builder.get());
    if (!spki) return InvalidArgument("is no point on its curve");
    return Named(std::move(*spki), R"({"crv":")" + std::string(curve.jose) + R"(","kty":"EC","x":")" +
                                       ToBase64Url(*x) + R"(","y":")" + ToBase64Url(*y) + "\"}");
  }
  return InvalidArgument("must be an EC key on P-256 or P-384");
}

}  // namespace

Result<RecipientJwk> ReadRecipientJwk(const nlohmann::json& jwk) {
  if (!jwk.is_object()) return InvalidArgument("must be a JWK of an RSA or EC key");
  for (const char* secret : {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}) {
    if (jwk.contains(secret)) return InvalidArgument("holds private members; send the public key alone");
  }
  const nlohmann::json kty = jwk.value("kty", nlohmann::json());
  if (kty == "RSA") return ReadRsa(jwk);
  if (kty == "EC") return ReadEc(jwk);
  return InvalidArgument("must be a JWK of an RSA or EC key");
}

}  // namespace skms::seal
