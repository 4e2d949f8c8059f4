#include "hsm/probe_mechanisms.h"

#include <utility>

#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/openssl_keys.h"
#include "hsm/payload_cipher.h"

namespace skms::hsm {
namespace {

CapabilityRow RowFor(std::string name, const Status& status, std::string yes,
                     Finding otherwise = Finding::kNo) {
  if (status.has_value()) return {std::move(name), Finding::kYes, std::move(yes)};
  return {std::move(name), otherwise, status.error().detail};
}

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

Status TryWrapEc(Token& token, CK_MECHANISM_TYPE kwp) {
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRY(const KeyPair pair, GenerateP256(lease, Lifetime::kSession, {}, {}, true));
  const SessionObject public_key(lease, pair.public_key);
  const SessionObject private_key(lease, pair.private_key);
  SKMS_TRY(const SessionObject kek,
           GenerateSecret(
               lease, CKM_AES_KEY_GEN,
               SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true, .unwrap = true}), 32));
  CK_MECHANISM mechanism{kwp, nullptr, 0};
  SKMS_TRY(const Bytes blob, Wrap(lease, &mechanism, kek.handle(), pair.private_key));
  SKMS_TRY(const SessionObject back, Unwrap(lease, &mechanism, kek.handle(), blob,
                                            ValKeyTemplate({KeyKind::kEcPrivate, 0}), {.extractable = true}));
  return Ok();
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
Status TryGcm(Token& token) {
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
  SKMS_TRY(Bytes sealed, EncryptGcm(lease, key.handle(), nonce, aad, plain));
  if (sealed != expected) return InternalError("other bytes than a software AES-GCM");
  SKMS_TRYV(DecryptGcm(lease, key.handle(), nonce, aad, sealed));
  sealed.back() ^= 1U;
  if (DecryptGcm(lease, key.handle(), nonce, aad, sealed).has_value())
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

}  // namespace

Result<MechanismFindings> ProbeMechanisms(Token& token) {
  MechanismFindings out;
  const Status ecdsa = TryEcdsa(token, out.ec_p256);
  out.ecdsa = ecdsa.has_value();
  out.rows.push_back(RowFor("EC P-256 key generation", out.ec_p256 ? Ok() : ecdsa, "C_GenerateKeyPair"));
  out.rows.push_back(RowFor("ECDSA", ecdsa, "CKM_ECDSA over a SHA-256 digest"));
  const Status pss = TryPss(token);
  out.rsa_pss = pss.has_value();
  out.rows.push_back(RowFor("RSA-PSS with SHA-256", pss, "CKM_RSA_PKCS_PSS"));
  out.rows.push_back(RowFor("ECDH", TryEcdh(token), "CKM_ECDH1_DERIVE without KDF"));
  const Status gcm = TryGcm(token);
  out.aes_gcm = gcm.has_value();
  out.rows.push_back(RowFor("AES-GCM", gcm, "same bytes as a software AES-GCM, 6-field parameters"));
  if (!out.aes_gcm) out.rows.back().detail += ": no payloads can be provisioned on this token";
  const Status key_wrap = TryKeyWrap(token);
  out.aes_key_wrap = key_wrap.has_value();
  out.rows.push_back(RowFor("wrap RFC 3394 (KW)", key_wrap, "same bytes as a software RFC 3394"));
  bool kwp_ec = false;
  for (const CK_MECHANISM_TYPE kwp : {kMechanismAesKeyWrapKwp, CK_MECHANISM_TYPE{CKM_AES_KEY_WRAP_PAD}}) {
    kwp_ec = kwp_ec || TryWrapEc(token, kwp).has_value();
  }
  out.rows.push_back(
      {"wrap an EC private key", kwp_ec ? Finding::kYes : Finding::kNo,
       kwp_ec ? "wrapped and unwrapped as PKCS#8" : "refused: no ec-p256 services on this token"});
  return out;
}

}  // namespace skms::hsm
