#include "hsm/key_pair.h"

#include "hsm/key_operations.h"
#include "hsm/openssl_agreement.h"

namespace skms::hsm {
namespace {

Result<KeyPair> Generate(SessionLease& lease, CK_MECHANISM_TYPE type, AttributeTemplate public_key,
                         AttributeTemplate private_key, std::string_view label) {
  if (!label.empty()) {
    public_key.Text(CKA_LABEL, label).Text(CKA_ID, label);
    private_key.Text(CKA_LABEL, label).Text(CKA_ID, label);
  }
  CK_MECHANISM mechanism{type, nullptr, 0};
  KeyPair pair;
  SKMS_TRYV(lease.Check("C_GenerateKeyPair",
                        lease.p11()->C_GenerateKeyPair(
                            lease.handle(), &mechanism, public_key.data(), public_key.size(),
                            private_key.data(), private_key.size(), &pair.public_key, &pair.private_key)));
  return pair;
}

}  // namespace

Result<KeyPair> GenerateEcPair(SessionLease& lease, Curve curve, Lifetime lifetime,
                               const KeyUsage& public_usage, const KeyUsage& private_usage, bool extractable,
                               std::string_view label) {
  AttributeTemplate public_key = PublicKeyTemplate(CKK_EC, lifetime, public_usage);
  public_key.Octets(CKA_EC_PARAMS, CurveParameters(curve));
  return Generate(lease, CKM_EC_KEY_PAIR_GEN, std::move(public_key),
                  PrivateKeyTemplate(CKK_EC, lifetime, extractable, private_usage), label);
}

Result<KeyPair> GenerateP256(SessionLease& lease, Lifetime lifetime, const KeyUsage& public_usage,
                             const KeyUsage& private_usage, bool extractable, std::string_view label) {
  return GenerateEcPair(lease, Curve::kP256, lifetime, public_usage, private_usage, extractable, label);
}

Result<KeyPair> GenerateRsaPair(SessionLease& lease, CK_ULONG bits, Lifetime lifetime,
                                const KeyUsage& public_usage, const KeyUsage& private_usage,
                                std::string_view label, bool extractable) {
  static constexpr std::uint8_t kExponent[] = {1, 0, 1};
  AttributeTemplate public_key = PublicKeyTemplate(CKK_RSA, lifetime, public_usage);
  public_key.Number(CKA_MODULUS_BITS, bits).Octets(CKA_PUBLIC_EXPONENT, kExponent);
  return Generate(lease, CKM_RSA_PKCS_KEY_PAIR_GEN, std::move(public_key),
                  PrivateKeyTemplate(CKK_RSA, lifetime, extractable, private_usage), label);
}

Result<Bytes> ReadSpki(SessionLease& lease, CK_OBJECT_HANDLE key, bool ec) {
  if (ec) {
    SKMS_TRY(const Bytes point, ReadOctets(lease, key, CKA_EC_POINT));
    return SpkiFromPoint(Curve::kP256, point);
  }
  SKMS_TRY(const Bytes modulus, ReadOctets(lease, key, CKA_MODULUS));
  SKMS_TRY(const Bytes exponent, ReadOctets(lease, key, CKA_PUBLIC_EXPONENT));
  return RsaSpkiFromNumbers(modulus, exponent);
}

}  // namespace skms::hsm
