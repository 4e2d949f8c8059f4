#include "hsm/probe_mechanisms.h"

#include <utility>

#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/openssl_agreement.h"
#include "hsm/openssl_keys.h"
#include "hsm/payload_cipher.h"
#include "hsm/probe_row.h"

namespace skms::hsm {
namespace {

Status TrySign(SessionLease& lease, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE key) {
  Bytes digest(32, 7);
  Bytes signature(512);
  CK_ULONG size = signature.size();
  SKMS_TRYV(lease.Check("C_SignInit", lease.p11()->C_SignInit(lease.handle(), mechanism, key)));
  return lease.Check(
      "C_Sign", lease.p11()->C_Sign(lease.handle(), digest.data(), digest.size(), signature.data(), &size));
}

Status TryEcdsa(Token& token, bool& generated) {
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const KeyPair pair,
           GenerateP256(lease, Lifetime::kSession, {.verify = true}, {.sign = true}, false));
  const SessionObject public_key(lease, pair.public_key);
  const SessionObject private_key(lease, pair.private_key);
  generated = true;
  CK_MECHANISM ecdsa{CKM_ECDSA, nullptr, 0};
  return TrySign(lease, &ecdsa, pair.private_key);
}

/// Under a KEK that we know, unwrapped, wrapped again and opened by OpenSSL: a private key that came back
/// with another public key in it would reach its recipient so.
Status TryWrapEc(Token& token, const Capabilities& can) {
  const Bytes kek(32, 0x5A);
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(can));
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const KeyPair pair, GenerateP256(lease, Lifetime::kSession, {}, {}, true));
  const SessionObject public_key(lease, pair.public_key);
  const SessionObject private_key(lease, pair.private_key);
  SKMS_TRY(const Bytes point, ReadOctets(lease, pair.public_key, CKA_EC_POINT));
  SKMS_TRY(const Bytes spki, SpkiFromPoint(Curve::kP256, point));
  AttributeTemplate wrapping =
      SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true, .unwrap = true});
  wrapping.Octets(CKA_VALUE, kek);
  SKMS_TRY(const SessionObject with, Create(lease, std::move(wrapping)));
  SKMS_TRY(const Bytes blob, Wrap(lease, &kwp, with.handle(), pair.private_key));
  SKMS_TRY(AttributeTemplate attributes, UnwrapTemplate({KeyKind::kEcPrivate, 0}, can, spki));
  SKMS_TRY(const SessionObject back,
           Unwrap(lease, &kwp, with.handle(), blob, std::move(attributes), ProtectionOn(can, true)));
  SKMS_TRY(const Bytes again, Wrap(lease, &kwp, with.handle(), back.handle()));
  SKMS_TRY(const SecretBytes pkcs8, UnwrapRfc5649(kek, again));
  SKMS_TRY(const PkeyPtr key, PrivateKeyFromPkcs8(pkcs8.ExposeSecret()));
  SKMS_TRY(const Bytes same, PublicSpki(key.get()));
  if (same != spki) return InternalError("it comes back with another public key");
  return Ok();
}

void ProbeWrapEc(Token& token, Capabilities& can) {
  constexpr const char* kName = "wrap an EC private key";
  if (!can.kwp_mechanism) {
    can.rows.push_back({kName, Finding::kNo, "not tried: the token does not wrap by RFC 5649"});
    return;
  }
  Status tried = TryWrapEc(token, can);
  if (tried.has_error()) {
    can.unwrap_ec_needs_nss_db = true;
    const Status with_vendor_attribute = TryWrapEc(token, can);
    can.unwrap_ec_needs_nss_db = with_vendor_attribute.has_value();
    tried = with_vendor_attribute;
  }
  can.wraps_ec = tried.has_value();
  can.rows.push_back(RowFor(kName, tried,
                            can.unwrap_ec_needs_nss_db
                                ? "wrapped and unwrapped as PKCS#8, with CKA_NSS_DB in the unwrap template"
                                : "wrapped and unwrapped as PKCS#8"));
}

Status TryEcdh(Token& token) {
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const KeyPair pair, GenerateP256(lease, Lifetime::kSession, {}, {.derive = true}, false));
  const SessionObject public_key(lease, pair.public_key);
  const SessionObject private_key(lease, pair.private_key);
  SKMS_TRY(Bytes point, ReadOctets(lease, pair.public_key, CKA_EC_POINT));
  CK_ECDH1_DERIVE_PARAMS parameters{CKD_NULL, 0, nullptr, point.size(), point.data()};
  CK_MECHANISM mechanism{CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
  AttributeTemplate derived = SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kSession, true, {});
  derived.Number(CKA_VALUE_LEN, 32);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  SKMS_TRYV(lease.Check("C_DeriveKey", lease.p11()->C_DeriveKey(lease.handle(), &mechanism, pair.private_key,
                                                                derived.data(), derived.size(), &handle)));
  const SessionObject object(lease, handle);
  return Ok();
}

Status TryPss(Token& token) {
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const KeyPair pair,
           GenerateRsaPair(lease, 2048, Lifetime::kSession, {.verify = true}, {.sign = true}));
  const SessionObject public_key(lease, pair.public_key);
  const SessionObject private_key(lease, pair.private_key);
  CK_RSA_PKCS_PSS_PARAMS parameters{CKM_SHA256, CKG_MGF1_SHA256, 32};
  CK_MECHANISM mechanism{CKM_RSA_PKCS_PSS, &parameters, sizeof parameters};
  return TrySign(lease, &mechanism, pair.private_key);
}

/// Encrypts, compares with a software AES-GCM, decrypts, and must refuse a changed tag.
Status TryGcm(Token& token, GcmLayout layout) {
  const Bytes octets(32, 0x5A);
  const Bytes nonce(12, 1);
  const Bytes aad(5, 3);
  const Bytes plain(21, 2);
  SKMS_TRY(const Bytes expected, GcmEncrypt(octets, nonce, aad, plain));
  SKMS_TRY(SessionLease lease, token.Lease());
  AttributeTemplate known =
      SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.encrypt = true, .decrypt = true});
  known.Octets(CKA_VALUE, octets);
  SKMS_TRY(const SessionObject key, Create(lease, std::move(known)));
  SKMS_TRY(Bytes sealed, EncryptGcm(lease, layout, key.handle(), nonce, aad, plain));
  if (sealed != expected) return InternalError("other bytes than a software AES-GCM");
  SKMS_TRYV(DecryptGcm(lease, layout, key.handle(), nonce, aad, sealed));
  sealed.back() ^= 1U;
  if (DecryptGcm(lease, layout, key.handle(), nonce, aad, sealed).has_value())
    return InternalError("it decrypts what has a wrong tag");
  return Ok();
}

Status TryKeyWrap(Token& token) {
  const Bytes kek(32, 0x5A);
  const Bytes secret(32, 0xC3);
  SKMS_TRY(const Bytes expected, WrapRfc3394(kek, secret));
  SKMS_TRY(SessionLease lease, token.Lease());
  AttributeTemplate wrapping = SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true});
  wrapping.Octets(CKA_VALUE, kek);
  SKMS_TRY(const SessionObject with, Create(lease, std::move(wrapping)));
  AttributeTemplate target = SecretKeyTemplate(CKK_AES, Lifetime::kSession, true, {});
  target.Octets(CKA_VALUE, secret);
  SKMS_TRY(const SessionObject key, Create(lease, std::move(target)));
  CK_MECHANISM wrap{CKM_AES_KEY_WRAP, nullptr, 0};
  SKMS_TRY(const Bytes wrapped, Wrap(lease, &wrap, with.handle(), key.handle()));
  if (wrapped != expected) return InternalError("other bytes than a software RFC 3394");
  return Ok();
}

void ProbeGcm(Token& token, Capabilities& can) {
  const Status six = TryGcm(token, GcmLayout::kSixFields);
  const Status five = TryGcm(token, GcmLayout::kFiveFields);
  can.aes_gcm = six.has_value() || five.has_value();
  can.gcm_layout = six.has_error() && five.has_value() ? GcmLayout::kFiveFields : GcmLayout::kSixFields;
  can.rows.push_back(RowFor("AES-GCM", can.aes_gcm ? Ok() : six, "same bytes as a software AES-GCM"));
  if (!can.aes_gcm) {
    can.rows.back().detail += ": no payloads can be provisioned on this token";
    return;
  }
  can.rows.push_back({"AES-GCM parameters of 5 fields", five.has_value() ? Finding::kYes : Finding::kNo,
                      five.has_value() ? (six.has_value() ? "both layouts work; 6 fields are used"
                                                          : "the only layout that works")
                                       : five.error().detail + ", 6 fields are used"});
}

void ProbeSigning(Token& token, Capabilities& can) {
  const Status ecdsa = TryEcdsa(token, can.ec_p256);
  can.ecdsa = ecdsa.has_value();
  can.rows.push_back(RowFor("EC P-256 key generation", can.ec_p256 ? Ok() : ecdsa, "C_GenerateKeyPair"));
  can.rows.push_back(RowFor("ECDSA", ecdsa, "CKM_ECDSA over a SHA-256 digest"));
  const Status pss = TryPss(token);
  can.rsa_pss = pss.has_value();
  can.rows.push_back(RowFor("RSA-PSS with SHA-256", pss, "CKM_RSA_PKCS_PSS"));
  if (!can.ecdsa && !can.rsa_pss)
    can.rows.push_back({"signing key", Finding::kFail, "neither ECDSA nor RSA-PSS works"});
}

}  // namespace

Status ProbeMechanisms(Token& token, Capabilities& capabilities) {
  ProbeSigning(token, capabilities);
  const Status ecdh = TryEcdh(token);
  capabilities.ecdh = ecdh.has_value();
  capabilities.rows.push_back(RowFor("ECDH", ecdh, "CKM_ECDH1_DERIVE without KDF"));
  ProbeGcm(token, capabilities);
  const Status key_wrap = TryKeyWrap(token);
  capabilities.aes_key_wrap = key_wrap.has_value();
  capabilities.rows.push_back(RowFor("wrap RFC 3394 (KW)", key_wrap, "same bytes as a software RFC 3394"));
  ProbeWrapEc(token, capabilities);
  return Ok();
}

}  // namespace skms::hsm
