#include "hsm/strict_template.h"

namespace skms::hsm {
namespace {

AttributeTemplate StrictSecret(CK_KEY_TYPE type, bool encrypt) {
  AttributeTemplate key;
  key.Number(CKA_CLASS, CKO_SECRET_KEY)
      .Number(CKA_KEY_TYPE, type)
      .Flag(CKA_TOKEN, false)
      .Flag(CKA_PRIVATE, true)
      .Flag(CKA_SENSITIVE, true)
      .Flag(CKA_EXTRACTABLE, true)
      .Flag(CKA_WRAP_WITH_TRUSTED, true)
      .Flag(CKA_COPYABLE, false)
      .Flag(CKA_ENCRYPT, encrypt)
      .Flag(CKA_DECRYPT, false)
      .Flag(CKA_SIGN, false)
      .Flag(CKA_VERIFY, false)
      .Flag(CKA_WRAP, false)
      .Flag(CKA_UNWRAP, false)
      .Flag(CKA_DERIVE, false)
      // The last: SoftHSM takes nothing after it at unwrap.
      .Flag(CKA_MODIFIABLE, false);
  return key;
}

}  // namespace

AttributeTemplate StrictKeyTemplate() { return StrictSecret(CKK_GENERIC_SECRET, false); }

AttributeTemplate StrictContentKeyTemplate() { return StrictSecret(CKK_AES, true); }

AttributeTemplate StrictWrapTemplate() {
  AttributeTemplate demanded;
  demanded.Number(CKA_CLASS, CKO_SECRET_KEY)
      .Flag(CKA_SENSITIVE, true)
      .Flag(CKA_WRAP_WITH_TRUSTED, true)
      .Flag(CKA_LOCAL, true)
      .Flag(CKA_DERIVE, false)
      .Flag(CKA_COPYABLE, false)
      .Flag(CKA_MODIFIABLE, false);
  return demanded;
}

AttributeTemplate StrictKekTemplate(CK_MECHANISM_TYPE kwp, const std::string& label) {
  AttributeTemplate kek = SecretKeyTemplate(CKK_AES, Lifetime::kToken, false, {.wrap = true, .unwrap = true});
  // The security officer makes no private objects. Unwrapping needs the user all the same: what comes out is
  // private.
  kek.Without(CKA_PRIVATE)
      .Flag(CKA_PRIVATE, false)
      .Flag(CKA_TRUSTED, true)
      .Flag(CKA_COPYABLE, false)
      .Flag(CKA_DESTROYABLE, false)
      .Numbers(CKA_ALLOWED_MECHANISMS, {&kwp, 1})
      .Nested(CKA_WRAP_TEMPLATE, StrictWrapTemplate())
      .Nested(CKA_UNWRAP_TEMPLATE, StrictKeyTemplate())
      .Text(CKA_LABEL, label)
      .Text(CKA_ID, label);
  return kek;
}

AttributeTemplate TrustedRecipientTemplate(ByteView modulus, ByteView exponent, const std::string& label,
                                           ByteView id) {
  constexpr CK_MECHANISM_TYPE kOaep = CKM_RSA_PKCS_OAEP;
  AttributeTemplate key = PublicKeyTemplate(CKK_RSA, Lifetime::kToken, {.wrap = true});
  key.Flag(CKA_TRUSTED, true)
      .Flag(CKA_COPYABLE, false)
      .Numbers(CKA_ALLOWED_MECHANISMS, {&kOaep, 1})
      .Octets(CKA_MODULUS, modulus)
      .Octets(CKA_PUBLIC_EXPONENT, exponent)
      .Text(CKA_LABEL, label)
      .Octets(CKA_ID, id);
  return key;
}

}  // namespace skms::hsm
