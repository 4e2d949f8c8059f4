#include "hsm/probe_delivery.h"

#include <utility>

#include "hsm/key_agreement.h"
#include "hsm/key_operations.h"
#include "hsm/openssl_agreement.h"
#include "hsm/openssl_keys.h"
#include "hsm/probe_row.h"

namespace skms::hsm {
namespace {

const Bytes& Secret() {
  static const Bytes secret(32, 0x3C);
  return secret;
}

Result<SessionObject> KnownSecret(SessionLease& lease) {
  AttributeTemplate known = SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kSession, true, {});
  known.Octets(CKA_VALUE, Secret());
  return Create(lease, std::move(known));
}

Status CheckSecret(const Result<SecretBytes>& opened) {
  if (opened.has_value() && ConstantTimeEqual(opened.value().ExposeSecret(), Secret())) return Ok();
  return InternalError("OpenSSL cannot open it");
}

Status TryOaep(Token& token, EVP_PKEY* rsa, ByteView spki, OaepHash hash) {
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const SessionObject recipient, ImportRsaRecipient(lease, spki));
  SKMS_TRY(const SessionObject key, KnownSecret(lease));
  OaepMechanism oaep(hash);
  SKMS_TRY(const Bytes block, Wrap(lease, oaep.get(), recipient.handle(), key.handle()));
  return CheckSecret(OaepDecrypt(rsa, hash, block));
}

Status ProbeOaep(Token& token, EVP_PKEY* rsa, ByteView spki, Capabilities& can) {
  for (const OaepHash hash : {OaepHash::kSha256, OaepHash::kSha1}) {
    const Status tried = TryOaep(token, rsa, spki, hash);
    const std::string name = hash == OaepHash::kSha256 ? "RSA-OAEP with SHA-256" : "RSA-OAEP with SHA-1";
    can.rows.push_back(RowFor(name, tried, "wrapped in the token, opened by OpenSSL"));
    if (tried.has_value() && !can.oaep_hash) can.oaep_hash = hash;
  }
  if (!can.oaep_hash) {
    can.rows.push_back(
        {"RSA-OAEP", Finding::kFail, "no hash works: keys cannot be delivered to RSA recipients"});
  } else if (can.oaep_hash == OaepHash::kSha1) {
    can.rows.push_back({"RSA-OAEP hash in use", Finding::kWarn,
                        "SHA-1 is all this token does; token.profile strict refuses it"});
  }
  return Ok();
}

/// CKM_RSA_AES_KEY_WRAP: the RSA block, then the target by RFC 5649. Only reported: what is composed from two
/// calls gives the same octets on every token.
Status TryRsaAes(Token& token, EVP_PKEY* rsa, ByteView spki, OaepHash hash) {
  constexpr std::size_t kBlockBytes = 256;  // of RSA-2048
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const SessionObject recipient, ImportRsaRecipient(lease, spki));
  SKMS_TRY(const SessionObject key, KnownSecret(lease));
  OaepMechanism oaep(hash);
  RsaAesKeyWrapParameters parameters{256, static_cast<CK_RSA_PKCS_OAEP_PARAMS*>(oaep.get()->pParameter)};
  CK_MECHANISM mechanism{kMechanismRsaAesKeyWrap, &parameters, sizeof parameters};
  SKMS_TRY(const Bytes wrapped, Wrap(lease, &mechanism, recipient.handle(), key.handle()));
  if (wrapped.size() <= kBlockBytes) return InternalError("shorter than an RSA block");
  SKMS_TRY(const SecretBytes aes, OaepDecrypt(rsa, hash, ByteView(wrapped).first(kBlockBytes)));
  return CheckSecret(UnwrapRfc5649(aes.ExposeSecret(), ByteView(wrapped).subspan(kBlockBytes)));
}

/// Ephemeral pair in the token, known peer outside; the derived key wraps a known secret, which the peer
/// opens.
Status TryEcdhKdf(Token& token, Curve curve, CK_MECHANISM_TYPE kwp) {
  SKMS_TRY(const PkeyPtr peer, GenerateEc(curve));
  SKMS_TRY(const Bytes peer_spki, PublicSpki(peer.get()));
  Bytes info(20, 0x2D);
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const DerivedKey derived, DeriveForRecipient(lease, peer_spki, info));
  SKMS_TRY(const SessionObject key, KnownSecret(lease));
  CK_MECHANISM mechanism{kwp, nullptr, 0};
  SKMS_TRY(const Bytes wrapped, Wrap(lease, &mechanism, derived.key.handle(), key.handle()));
  SKMS_TRY(const SecretBytes same, EcdhX963(peer.get(), derived.ephemeral_spki, info));
  return CheckSecret(UnwrapRfc5649(same.ExposeSecret(), wrapped));
}

bool ProbeEcdhKdf(Token& token, Curve curve, Capabilities& can) {
  const std::string name = std::string("ECDH with KDF, ") + (curve == Curve::kP256 ? "P-256" : "P-384");
  if (!can.kwp_mechanism) {
    can.rows.push_back({name, Finding::kNo, "not tried: the token does not wrap by RFC 5649"});
    return false;
  }
  const Status tried = TryEcdhKdf(token, curve, *can.kwp_mechanism);
  can.rows.push_back(RowFor(name, tried, "X9.63 KDF with SHA-256, same key as OpenSSL's"));
  return tried.has_value();
}

}  // namespace

Status ProbeDelivery(Token& token, Capabilities& capabilities) {
  SKMS_TRY(const PkeyPtr rsa, GenerateRsa());
  SKMS_TRY(const Bytes spki, PublicSpki(rsa.get()));
  SKMS_TRYV(ProbeOaep(token, rsa.get(), spki, capabilities));
  const Status rsa_aes =
      TryRsaAes(token, rsa.get(), spki, capabilities.oaep_hash.value_or(OaepHash::kSha256));
  capabilities.rsa_aes_native = rsa_aes.has_value();
  capabilities.rows.push_back(
      RowFor("RSA_AES_KEY_WRAP in one call", rsa_aes, "CKM_RSA_AES_KEY_WRAP; composed all the same"));
  capabilities.ecdh_kdf_p256 = ProbeEcdhKdf(token, Curve::kP256, capabilities);
  capabilities.ecdh_kdf_p384 = ProbeEcdhKdf(token, Curve::kP384, capabilities);
  return Ok();
}

}  // namespace skms::hsm
