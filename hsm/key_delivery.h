// WrapToRecipient: a key that is in the token, to a recipient's key; the one way out for keys old and new.
//
// Over a leased session; a lease is used by one thread.
#pragma once

#include "hsm/open_token.h"

namespace skms::hsm {

/// `key`: a session object of this lease, SENSITIVE and EXTRACTABLE, of `spec`. `kwp`: as KwpMechanism.
/// Errors: kInvalidArgument (recipient key unusable), kUnsupported (the token cannot wrap to its kind), of a
/// transport key kIntegrity, kNewerSchema and kNotFound (no such KEK); the token's.
Result<DeliveredKey> WrapToRecipient(SessionLease& lease, const OpenToken& open, CK_MECHANISM* kwp,
                                     const Recipient& recipient, CK_OBJECT_HANDLE key, const KeySpec& spec);

}  // namespace skms::hsm
