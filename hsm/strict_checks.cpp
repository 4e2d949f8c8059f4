#include "hsm/strict_checks.h"

#include <optional>

#include "hsm/strict_template.h"
#include "hsm/token_error.h"

namespace skms::hsm {
namespace {

Error NotKept(std::string what) { return {ErrorCode::kUnsupported, std::move(what)}; }

/// A refusal is what we want; a token that went away refused nothing.
Status Refused(const Error& error) {
  const bool trouble =
      error.code == ErrorCode::kTokenUnavailable || error.code == ErrorCode::kResourceExhausted;
  return trouble ? Status(error) : Ok();
}

/// How a strict key might be asked for more weakly.
struct Weakening {
  const char* what;
  CK_ATTRIBUTE_TYPE attribute;
  std::optional<CK_ULONG> number;  ///< nullopt: a flag
  bool flag = false;
};

constexpr Weakening kWeakenings[] = {
    {"WRAP_WITH_TRUSTED=false", CKA_WRAP_WITH_TRUSTED, std::nullopt, false},
    {"SENSITIVE=false", CKA_SENSITIVE, std::nullopt, false},
    {"COPYABLE=true", CKA_COPYABLE, std::nullopt, true},
    {"DERIVE=true", CKA_DERIVE, std::nullopt, true},
    {"DECRYPT=true", CKA_DECRYPT, std::nullopt, true},
    {"SIGN=true", CKA_SIGN, std::nullopt, true},
    {"KEY_TYPE=AES", CKA_KEY_TYPE, CKK_AES, false},
    {"MODIFIABLE=true", CKA_MODIFIABLE, std::nullopt, true},
};

AttributeTemplate Weakened(const Weakening& weakening) {
  AttributeTemplate attributes = StrictKeyTemplate();
  attributes.Without(weakening.attribute);
  // MODIFIABLE stays the last.
  if (weakening.attribute != CKA_MODIFIABLE) attributes.Without(CKA_MODIFIABLE);
  if (weakening.number) {
    attributes.Number(weakening.attribute, *weakening.number);
  } else {
    attributes.Flag(weakening.attribute, weakening.flag);
  }
  if (weakening.attribute != CKA_MODIFIABLE) attributes.Flag(CKA_MODIFIABLE, false);
  return attributes;
}

/// A token may refuse what is weaker, or give what its template says instead.
Result<bool> IsAsWeak(SessionLease& lease, CK_OBJECT_HANDLE key, const Weakening& weakening) {
  if (!weakening.number) {
    SKMS_TRY(const bool flag, ReadFlag(lease, key, weakening.attribute));
    return flag == weakening.flag;
  }
  SKMS_TRY(const CK_ULONG number, ReadNumber(lease, key, weakening.attribute));
  return number == *weakening.number;
}

Result<CK_OBJECT_HANDLE> BareUnwrap(SessionLease& lease, CK_MECHANISM* kwp, CK_OBJECT_HANDLE kek,
                                    ByteView blob, AttributeTemplate attributes) {
  Bytes copy(blob.begin(), blob.end());  // PKCS#11 takes a pointer to non-const
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  SKMS_TRYV(
      lease.Check("C_UnwrapKey", lease.p11()->C_UnwrapKey(lease.handle(), kwp, kek, copy.data(), copy.size(),
                                                          attributes.data(), attributes.size(), &handle)));
  return handle;
}

Status CheckRefusesWeaker(SessionLease& lease, CK_MECHANISM* kwp, CK_OBJECT_HANDLE kek, ByteView blob,
                          const Weakening& weakening) {
  const auto unwrapped = BareUnwrap(lease, kwp, kek, blob, Weakened(weakening));
  if (unwrapped.has_error()) return Refused(unwrapped.error());
  const SessionObject key(lease, unwrapped.value());
  SKMS_TRY(const bool weak, IsAsWeak(lease, key.handle(), weakening));
  if (!weak) return Ok();
  return NotKept(std::string("its unwrap template is ignored: a key came out with ") + weakening.what);
}

}  // namespace

Result<SessionObject> GenerateStrict(SessionLease& lease, CK_ULONG bytes) {
  return GenerateSecret(lease, CKM_GENERIC_SECRET_KEY_GEN, StrictKeyTemplate(), bytes);
}

Result<SessionObject> UnwrapStrict(SessionLease& lease, CK_MECHANISM* kwp, CK_OBJECT_HANDLE kek,
                                   ByteView blob) {
  SKMS_TRY(SessionObject key, Unwrap(lease, kwp, kek, blob, StrictKeyTemplate(), {.extractable = true}));
  SKMS_TRY(const bool strict, ReadFlag(lease, key.handle(), CKA_WRAP_WITH_TRUSTED));
  if (!strict) return NotKept("the token ignores WRAP_WITH_TRUSTED at unwrap; the key was destroyed");
  return key;
}

Status CheckNotWrapped(SessionLease& lease, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE untrusted,
                       CK_OBJECT_HANDLE key) {
  const auto wrapped = Wrap(lease, mechanism, untrusted, key);
  if (wrapped.has_error()) return Refused(wrapped.error());
  return NotKept("WRAP_WITH_TRUSTED is ignored: a key that is not TRUSTED wrapped one");
}

Status CheckStaysStrict(SessionLease& lease, CK_OBJECT_HANDLE key) {
  CK_BBOOL off = CK_FALSE;
  CK_ATTRIBUTE attribute{CKA_WRAP_WITH_TRUSTED, &off, sizeof off};
  const Status set = lease.Check("C_SetAttributeValue",
                                 lease.p11()->C_SetAttributeValue(lease.handle(), key, &attribute, 1));
  if (set.has_error()) SKMS_TRYV(Refused(set.error()));
  SKMS_TRY(const bool strict, ReadFlag(lease, key, CKA_WRAP_WITH_TRUSTED));
  return strict ? Ok() : Status(NotKept("WRAP_WITH_TRUSTED can be taken away again"));
}

Status CheckUnwrapsStrictAlone(SessionLease& lease, CK_MECHANISM* kwp, CK_OBJECT_HANDLE kek, ByteView blob) {
  {
    SKMS_TRY(const SessionObject key, UnwrapStrict(lease, kwp, kek, blob));
    SKMS_TRYV(CheckStaysStrict(lease, key.handle()));
  }
  for (const Weakening& weakening : kWeakenings)
    SKMS_TRYV(CheckRefusesWeaker(lease, kwp, kek, blob, weakening));
  return Ok();
}

Status CheckWrapsStrictAlone(SessionLease& lease, CK_MECHANISM* kwp, CK_OBJECT_HANDLE kek) {
  AttributeTemplate attributes = SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kSession, true, {});
  SKMS_TRY(const SessionObject ordinary,
           GenerateSecret(lease, CKM_GENERIC_SECRET_KEY_GEN, std::move(attributes), 32));
  const auto wrapped = Wrap(lease, kwp, kek, ordinary.handle());
  if (wrapped.has_error()) return Refused(wrapped.error());
  return NotKept("its wrap template is ignored: a key that goes to anybody was wrapped under it");
}

Status CheckUserMarksNothing(SessionLease& lease) {
  AttributeTemplate attributes =
      SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true, .unwrap = true});
  attributes.Flag(CKA_TRUSTED, true);
  const auto made = GenerateSecret(lease, CKM_AES_KEY_GEN, std::move(attributes), 32);
  if (made.has_error()) return Refused(made.error());
  SKMS_TRY(const bool trusted, ReadFlag(lease, made.value().handle(), CKA_TRUSTED));
  return trusted ? Status(NotKept("the user marks keys TRUSTED himself")) : Ok();
}

}  // namespace skms::hsm
