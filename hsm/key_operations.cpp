#include "hsm/key_operations.h"

#include <array>
#include <utility>

#include "hsm/openssl_agreement.h"
#include "hsm/openssl_keys.h"
#include "hsm/token_error.h"

namespace skms::hsm {
namespace {

/// Failures that are the token's state, not the blob's.
bool IsTokenTrouble(const Error& error) {
  return error.code == ErrorCode::kTokenUnavailable || error.code == ErrorCode::kResourceExhausted;
}

Status Tighten(SessionLease& lease, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool value) {
  CK_BBOOL flag = value ? CK_TRUE : CK_FALSE;
  CK_ATTRIBUTE attribute{type, &flag, sizeof flag};
  // Read back below: an OK here proves nothing.
  return lease.Check("C_SetAttributeValue",
                     lease.p11()->C_SetAttributeValue(lease.handle(), object, &attribute, 1));
}

/// SENSITIVE and EXTRACTABLE as the token says they are.
struct Shown {
  bool sensitive = false;
  bool extractable = false;
};

/// Both in one call: each call is a way to the token and back.
Result<Shown> ReadProtection(SessionLease& lease, CK_OBJECT_HANDLE object) {
  CK_BBOOL sensitive = CK_FALSE;
  CK_BBOOL extractable = CK_TRUE;
  std::array<CK_ATTRIBUTE, 2> attributes{
      {{CKA_SENSITIVE, &sensitive, sizeof sensitive}, {CKA_EXTRACTABLE, &extractable, sizeof extractable}}};
  SKMS_TRYV(lease.Check(
      "C_GetAttributeValue",
      lease.p11()->C_GetAttributeValue(lease.handle(), object, attributes.data(), attributes.size())));
  if (attributes[0].ulValueLen != sizeof sensitive || attributes[1].ulValueLen != sizeof extractable)
    return InternalError("C_GetAttributeValue: SENSITIVE or EXTRACTABLE of another length");
  return Shown{sensitive != CK_FALSE, extractable != CK_FALSE};
}

Status Enforce(SessionLease& lease, CK_OBJECT_HANDLE object, bool extractable) {
  SKMS_TRY(Shown shown, ReadProtection(lease, object));
  if (shown.sensitive && shown.extractable == extractable) return Ok();
  const Status sensitive = shown.sensitive ? Ok() : Tighten(lease, object, CKA_SENSITIVE, true);
  const Status extraction =
      shown.extractable == extractable ? Ok() : Tighten(lease, object, CKA_EXTRACTABLE, extractable);
  SKMS_TRY(shown, ReadProtection(lease, object));
  const bool hidden = sensitive.has_value() && shown.sensitive;
  if (hidden && extraction.has_value() && shown.extractable == extractable) return Ok();
  return Error{ErrorCode::kUnsupported, std::string("the token ignores ") +
                                            (hidden ? "EXTRACTABLE" : "SENSITIVE") +
                                            ", asked for at once and set after; the key was destroyed"};
}

}  // namespace

Result<CK_MECHANISM> KwpMechanism(const Capabilities& capabilities) {
  if (!capabilities.kwp_mechanism) {
    return Error{ErrorCode::kUnsupported, "this token cannot wrap by RFC 5649"};
  }
  return CK_MECHANISM{*capabilities.kwp_mechanism, nullptr, 0};
}

OaepMechanism::OaepMechanism(OaepHash hash)
    : parameters_{hash == OaepHash::kSha256 ? CKM_SHA256 : CKM_SHA_1,
                  hash == OaepHash::kSha256 ? static_cast<CK_RSA_PKCS_MGF_TYPE>(CKG_MGF1_SHA256)
                                            : static_cast<CK_RSA_PKCS_MGF_TYPE>(CKG_MGF1_SHA1),
                  CKZ_DATA_SPECIFIED, nullptr, 0},
      mechanism_{CKM_RSA_PKCS_OAEP, &parameters_, sizeof parameters_} {}

Result<bool> ReadFlag(SessionLease& lease, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  CK_BBOOL flag = CK_FALSE;
  CK_ATTRIBUTE attribute{type, &flag, sizeof flag};
  SKMS_TRYV(lease.Check("C_GetAttributeValue",
                        lease.p11()->C_GetAttributeValue(lease.handle(), object, &attribute, 1)));
  return flag != CK_FALSE;
}

Result<CK_ULONG> ReadNumber(SessionLease& lease, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  CK_ULONG number = 0;
  CK_ATTRIBUTE attribute{type, &number, sizeof number};
  SKMS_TRYV(lease.Check("C_GetAttributeValue",
                        lease.p11()->C_GetAttributeValue(lease.handle(), object, &attribute, 1)));
  return number;
}

Result<Bytes> ReadOctets(SessionLease& lease, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  CK_ATTRIBUTE attribute{type, nullptr, 0};
  SKMS_TRYV(lease.Check("C_GetAttributeValue",
                        lease.p11()->C_GetAttributeValue(lease.handle(), object, &attribute, 1)));
  if (attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION)
    return InternalError("an attribute is not readable");
  Bytes octets(attribute.ulValueLen);
  attribute.pValue = octets.data();
  SKMS_TRYV(lease.Check("C_GetAttributeValue",
                        lease.p11()->C_GetAttributeValue(lease.handle(), object, &attribute, 1)));
  octets.resize(attribute.ulValueLen);
  return octets;
}

Result<std::vector<CK_OBJECT_HANDLE>> FindAll(SessionLease& lease, AttributeTemplate search) {
  SKMS_TRYV(lease.Check("C_FindObjectsInit",
                        lease.p11()->C_FindObjectsInit(lease.handle(), search.data(), search.size())));
  std::vector<CK_OBJECT_HANDLE> all;
  Status found = Ok();
  for (;;) {
    CK_OBJECT_HANDLE batch[64];
    CK_ULONG count = 0;
    found = lease.Check("C_FindObjects", lease.p11()->C_FindObjects(lease.handle(), batch, 64, &count));
    if (found.has_error() || count == 0) break;
    all.insert(all.end(), batch, batch + count);
  }
  SKMS_TRYV(lease.Check("C_FindObjectsFinal", lease.p11()->C_FindObjectsFinal(lease.handle())));
  SKMS_TRYV(std::move(found));
  return all;
}

Result<Bytes> RandomOctets(SessionLease& lease, std::size_t count) {
  Bytes octets(count);
  SKMS_TRYV(lease.Check("C_GenerateRandom",
                        lease.p11()->C_GenerateRandom(lease.handle(), octets.data(), octets.size())));
  return octets;
}

Result<Bytes> Wrap(SessionLease& lease, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE with,
                   CK_OBJECT_HANDLE key) {
  constexpr std::size_t kUsualBytes = 1024;  // an RSA-8192 block; a wrapped P-256 key is smaller
  Bytes out(kUsualBytes);
  CK_ULONG size = out.size();
  CK_RV rv = lease.p11()->C_WrapKey(lease.handle(), mechanism, with, key, out.data(), &size);
  if (rv == CKR_BUFFER_TOO_SMALL) {
    out.resize(size);
    rv = lease.p11()->C_WrapKey(lease.handle(), mechanism, with, key, out.data(), &size);
  }
  SKMS_TRYV(lease.Check("C_WrapKey", rv));
  out.resize(size);
  return out;
}

Result<SessionObject> Unwrap(SessionLease& lease, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE with,
                             ByteView blob, AttributeTemplate attributes, Protection protection) {
  // NSS calls an empty blob a lack of memory, which would read as the token's trouble.
  if (blob.empty()) return IntegrityError("a wrapped key without octets");
  Bytes copy(blob.begin(), blob.end());  // PKCS#11 takes a pointer to non-const
  if (protection.leave_out_extractable) attributes.Without(CKA_EXTRACTABLE);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const Status unwrapped = lease.Check(
      "C_UnwrapKey", lease.p11()->C_UnwrapKey(lease.handle(), mechanism, with, copy.data(), copy.size(),
                                              attributes.data(), attributes.size(), &handle));
  if (unwrapped.has_error()) {
    Error error = unwrapped.error();
    if (!IsTokenTrouble(error)) error.code = ErrorCode::kIntegrity;
    return error;
  }
  SessionObject object(lease, handle);
  SKMS_TRYV(Enforce(lease, handle, protection.extractable));
  return object;
}

Status CheckHidden(SessionLease& lease, CK_OBJECT_HANDLE key) { return Enforce(lease, key, false); }

Result<SessionObject> GenerateSecret(SessionLease& lease, CK_MECHANISM_TYPE mechanism,
                                     AttributeTemplate attributes, CK_ULONG bytes) {
  attributes.Number(CKA_VALUE_LEN, bytes);
  CK_MECHANISM generate{mechanism, nullptr, 0};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  SKMS_TRYV(lease.Check(
      "C_GenerateKey",
      lease.p11()->C_GenerateKey(lease.handle(), &generate, attributes.data(), attributes.size(), &handle)));
  return SessionObject(lease, handle);
}

Result<SessionObject> Create(SessionLease& lease, AttributeTemplate attributes) {
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  SKMS_TRYV(lease.Check("C_CreateObject", lease.p11()->C_CreateObject(lease.handle(), attributes.data(),
                                                                      attributes.size(), &handle)));
  return SessionObject(lease, handle);
}

AttributeTemplate ValKeyTemplate(const KeySpec& spec) {
  switch (spec.kind) {
    case KeyKind::kAes:
      return SecretKeyTemplate(CKK_AES, Lifetime::kSession, true, {});
    case KeyKind::kGenericSecret:
      return SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kSession, true, {});
    case KeyKind::kEcPrivate:
      return PrivateKeyTemplate(CKK_EC, Lifetime::kSession, true, {});
  }
  return {};
}

Result<AttributeTemplate> UnwrapTemplate(const KeySpec& spec, const Capabilities& capabilities,
                                         ByteView public_key) {
  AttributeTemplate attributes = ValKeyTemplate(spec);
  if (spec.kind != KeyKind::kEcPrivate || !capabilities.unwrap_ec_needs_nss_db) return attributes;
  if (public_key.empty())
    return Error{ErrorCode::kUnsupported, "this token unwraps no EC private key without its public key"};
  // Not any octets will do: NSS writes them into the PKCS#8 when it wraps the key again.
  SKMS_TRY(const EcPublicKey key, EcPublicKeyFromSpki(public_key));
  attributes.Octets(kAttributeNssDb, key.point);
  return attributes;
}

Protection ProtectionOn(const Capabilities& capabilities, bool extractable) {
  return {extractable, capabilities.unwrap_leaves_out_extractable};
}

Result<AttributeTemplate> RsaRecipientTemplate(ByteView spki) {
  SKMS_TRY(const RsaPublicNumbers numbers, RsaNumbersFromSpki(spki));
  AttributeTemplate key = PublicKeyTemplate(CKK_RSA, Lifetime::kSession, {.wrap = true});
  key.Octets(CKA_MODULUS, numbers.modulus).Octets(CKA_PUBLIC_EXPONENT, numbers.exponent);
  return key;
}

Result<SessionObject> ImportRsaRecipient(SessionLease& lease, ByteView spki) {
  SKMS_TRY(AttributeTemplate key, RsaRecipientTemplate(spki));
  return Create(lease, std::move(key));
}

ByteView CurveParameters(Curve curve) {
  static constexpr std::uint8_t kP256[] = {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
  static constexpr std::uint8_t kP384[] = {0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22};
  return curve == Curve::kP256 ? ByteView(kP256) : ByteView(kP384);
}

std::string RsaAesName(OaepHash hash) {
  return hash == OaepHash::kSha256 ? "RSA-AES-KWP-256" : "RSA-AES-KWP";
}

Result<DeliveredKey> WrapByRsaAes(SessionLease& lease, CK_MECHANISM* kwp, OaepHash hash,
                                  CK_OBJECT_HANDLE recipient, CK_OBJECT_HANDLE key) {
  AttributeTemplate once = SecretKeyTemplate(CKK_AES, Lifetime::kSession, true, {.wrap = true});
  SKMS_TRY(const SessionObject ephemeral, GenerateSecret(lease, CKM_AES_KEY_GEN, std::move(once), 32));
  DeliveredKey out;
  out.alg = RsaAesName(hash);
  SKMS_TRY(out.wrapped_key, Wrap(lease, kwp, ephemeral.handle(), key));
  OaepMechanism oaep(hash);
  SKMS_TRY(out.encrypted_key, Wrap(lease, oaep.get(), recipient, ephemeral.handle()));
  return out;
}

}  // namespace skms::hsm
