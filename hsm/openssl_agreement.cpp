#include "hsm/openssl_agreement.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/x509.h>

#include "hsm/openssl_handles.h"

namespace skms::hsm {
namespace {

constexpr std::size_t kKeyBytes = 32;

std::size_t PointBytes(Curve curve) { return curve == Curve::kP256 ? 65 : 97; }

/// SEQUENCE { SEQUENCE { id-ecPublicKey, the curve }, BIT STRING } up to the point itself (RFC 5480).
Bytes SpkiPrefix(Curve curve) {
  if (curve == Curve::kP256) {
    return {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01,
            0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
  }
  return {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02,
          0x01, 0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00};
}

/// nullptr: not a key, or octets follow. d2i proves that the point is on its curve.
PkeyPtr Parse(ByteView spki) {
  const unsigned char* data = spki.data();
  PkeyPtr key(d2i_PUBKEY(nullptr, &data, static_cast<long>(spki.size())));
  if (key && data != spki.data() + spki.size()) key.reset();
  return key;
}

}  // namespace

const char* NameOf(Curve curve) { return curve == Curve::kP256 ? "P-256" : "P-384"; }

Result<PkeyPtr> GenerateEc(Curve curve) {
  PkeyPtr key(EVP_EC_gen(NameOf(curve)));
  if (!key) return InternalError("an EC key cannot be generated");
  return key;
}

Result<EcPublicKey> EcPublicKeyFromSpki(ByteView spki) {
  for (const Curve curve : {Curve::kP256, Curve::kP384}) {
    const Bytes prefix = SpkiPrefix(curve);
    if (spki.size() != prefix.size() + PointBytes(curve)) continue;
    if (!std::equal(prefix.begin(), prefix.end(), spki.begin()) || spki[prefix.size()] != 0x04) continue;
    if (Parse(spki) == nullptr) break;
    const ByteView point = spki.subspan(prefix.size());
    return EcPublicKey{curve, Bytes(point.begin(), point.end())};
  }
  return InvalidArgument("not an EC public key on P-256 or P-384 (SubjectPublicKeyInfo, uncompressed point)");
}

Result<Bytes> SpkiFromPoint(Curve curve, ByteView ec_point) {
  const std::size_t size = PointBytes(curve);
  ByteView point = ec_point;
  if (point.size() == size + 2 && point[0] == 0x04 && point[1] == size) point = point.subspan(2);
  if (point.size() != size || point[0] != 0x04)
    return InternalError(std::string("CKA_EC_POINT is not a point of ") + NameOf(curve));
  Bytes spki = SpkiPrefix(curve);
  spki.insert(spki.end(), point.begin(), point.end());
  if (Parse(spki) == nullptr) return InternalError(std::string("CKA_EC_POINT is not on ") + NameOf(curve));
  return spki;
}

Result<SecretBytes> EcdhX963(EVP_PKEY* own, ByteView peer_spki, ByteView shared_info) {
  const PkeyPtr peer = Parse(peer_spki);
  const PkeyContextPtr context(EVP_PKEY_CTX_new(own, nullptr));
  // OpenSSL takes ownership of its copy.
  auto* info = static_cast<unsigned char*>(OPENSSL_memdup(shared_info.data(), shared_info.size()));
  SecretBytes key(kKeyBytes);
  std::size_t size = kKeyBytes;
  if (!peer || !context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_CTX_set_ecdh_kdf_type(context.get(), EVP_PKEY_ECDH_KDF_X9_63) != 1 ||
      EVP_PKEY_CTX_set_ecdh_kdf_md(context.get(), EVP_sha256()) != 1 ||
      EVP_PKEY_CTX_set_ecdh_kdf_outlen(context.get(), kKeyBytes) != 1) {
    OPENSSL_free(info);
    return InvalidArgument("not an EC public key on the curve of the other one");
  }
  if (EVP_PKEY_CTX_set0_ecdh_kdf_ukm(context.get(), info, static_cast<int>(shared_info.size())) != 1 ||
      EVP_PKEY_derive(context.get(), key.ExposeForWriting().data(), &size) != 1 || size != kKeyBytes)
    return InternalError("ECDH failed");
  return key;
}

}  // namespace skms::hsm
