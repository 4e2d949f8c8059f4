#include "base/jws.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>
#include <memory>
#include <optional>

#include "base/encoding.h"
#include "base/plain_json.h"

namespace skms {
namespace {

constexpr std::size_t kCoordinateBytes = 32;
constexpr int kLeastRsaBits = 2048;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;

/// r and s of the JWS in the DER that OpenSSL takes; empty for another length.
Bytes DerOf(ByteView signature) {
  if (signature.size() != 2 * kCoordinateBytes) return {};
  const std::unique_ptr<ECDSA_SIG, Free> pair(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(signature.data(), kCoordinateBytes, nullptr);
  BIGNUM* s = BN_bin2bn(signature.data() + kCoordinateBytes, kCoordinateBytes, nullptr);
  if (!pair || ECDSA_SIG_set0(pair.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* octets = nullptr;
  const int size = i2d_ECDSA_SIG(pair.get(), &octets);
  if (size <= 0) return {};
  Bytes der(octets, octets + size);
  OPENSSL_free(octets);
  return der;
}

bool IsP256(const EVP_PKEY* key) {
  std::array<char, 32> name{};
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         EVP_PKEY_get_group_name(key, name.data(), name.size(), nullptr) == 1 &&
         std::string_view(name.data()) == "prime256v1";
}

bool IsRsa(const EVP_PKEY* key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= kLeastRsaBits;
}

bool Verifies(EVP_PKEY* key, bool pss, ByteView signature, ByteView octets) {
  const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  if (!context || EVP_DigestVerifyInit(context.get(), &parameters, EVP_sha256(), nullptr, key) != 1)
    return false;
  if (pss && (EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) != 1 ||
              EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) != 1))
    return false;
  return EVP_DigestVerify(context.get(), signature.data(), signature.size(), octets.data(), octets.size()) ==
         1;
}

std::optional<std::string> TextOf(std::string_view base64url) {
  const auto octets = FromBase64Url(base64url);
  if (!octets) return std::nullopt;
  return std::string(octets->begin(), octets->end());
}

}  // namespace

std::string JwsSignedPart(const JwsHeader& header, std::string_view payload) {
  const std::string text =
      PlainJsonWriter().Text("alg", header.alg).Text("kid", header.kid).Text("typ", header.typ).Done();
  return ToBase64Url(AsBytes(text)) + "." + ToBase64Url(AsBytes(payload));
}

std::string JwsText(const std::string& signed_part, ByteView signature) {
  return signed_part + "." + ToBase64Url(signature);
}

Result<Jws> ReadJws(std::string_view text) {
  const Error wrong = InvalidArgument("is no JWS of this server");
  const std::size_t first = text.find('.');
  const std::size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos) return wrong;
  const auto header = TextOf(text.substr(0, first));
  auto payload = TextOf(text.substr(first + 1, second - first - 1));
  auto signature = FromBase64Url(text.substr(second + 1));
  if (!header || !payload || !signature) return wrong;
  PlainJsonReader reader(*header);
  auto alg = reader.Text("alg");
  auto kid = reader.Text("kid");
  auto typ = reader.Text("typ");
  if (!alg || !kid || !typ || !reader.AtEnd()) return wrong;
  return Jws{{std::move(*alg), std::move(*kid), std::move(*typ)},
             std::move(*payload),
             std::string(text.substr(0, second)),
             std::move(*signature)};
}

Status VerifyJws(const Jws& jws, ByteView spki) {
  const unsigned char* octets = spki.data();
  const Key key(d2i_PUBKEY(nullptr, &octets, static_cast<long>(spki.size())));
  const bool whole = key && octets == spki.data() + spki.size();
  const ByteView signed_part = AsBytes(jws.signed_part);
  if (whole && jws.header.alg == "ES256" && IsP256(key.get())) {
    const Bytes der = DerOf(jws.signature);
    if (!der.empty() && Verifies(key.get(), false, der, signed_part)) return Ok();
  }
  if (whole && jws.header.alg == "PS256" && IsRsa(key.get()) &&
      Verifies(key.get(), true, jws.signature, signed_part))
    return Ok();
  return IntegrityError("the signature of '" + jws.header.kid + "' does not fit");
}

}  // namespace skms
