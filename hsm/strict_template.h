// The templates of strict recipients: keys that the token wraps to TRUSTED keys alone, the KEK that keeps
// them so, and what the security officer makes. PKCS#11 2.40: CKA_WRAP_WITH_TRUSTED (4.9),
// CKA_UNWRAP_TEMPLATE and CKA_WRAP_TEMPLATE (4.10), CKA_TRUSTED (4.4). Pure functions.
//
// Who is logged in as the user may ask for anything that the token does not refuse, so the templates leave no
// way round: docs/threat-model.md lists what was tried.
#pragma once

#include <string>

#include "hsm/attribute_template.h"

namespace skms::hsm {

/// A key while it is in the token. A generic secret whatever the key is for: were its type open, a VAL key
/// could be unwrapped as DES and its first octets searched for.
AttributeTemplate StrictKeyTemplate();
/// A payload's content key while it encrypts; it never comes back as such, for the KEK unwraps
/// StrictKeyTemplate alone.
AttributeTemplate StrictContentKeyTemplate();

/// What a strict KEK demands of a key that it wraps: made in this token, and bound for TRUSTED keys. So what
/// is stored under it was never known outside, whoever had it stored.
AttributeTemplate StrictWrapTemplate();

/// The KEK as the security officer makes it. `kwp`: the mechanism of RFC 5649 on this token.
AttributeTemplate StrictKekTemplate(CK_MECHANISM_TYPE kwp, const std::string& label);

/// A recipient's RSA key as the security officer makes it: RSA-OAEP and nothing weaker.
AttributeTemplate TrustedRecipientTemplate(ByteView modulus, ByteView exponent, const std::string& label,
                                           ByteView id);

}  // namespace skms::hsm
