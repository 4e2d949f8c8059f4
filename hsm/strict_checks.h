// Whether a token keeps its word about TRUSTED keys: each check tries what it must refuse. Shared by the
// probe, on keys of its own, and by the opening of a token, on the security officer's.
//
// Functions over a leased session. A token that does not keep its word: kUnsupported, saying what it did.
// Other errors are the token's trouble (token_error.h).
#pragma once

#include "hsm/key_operations.h"

namespace skms::hsm {

/// A secret that may be wrapped with TRUSTED keys alone.
Result<SessionObject> GenerateStrict(SessionLease& lease, CK_ULONG bytes);

/// Unwraps as a strict KEK has it, and reads back that it is so. Errors: also kIntegrity, as Unwrap.
Result<SessionObject> UnwrapStrict(SessionLease& lease, CK_MECHANISM* kwp, CK_OBJECT_HANDLE kek,
                                   ByteView blob);

/// `untrusted` must not wrap `key`, which was made WRAP_WITH_TRUSTED.
Status CheckNotWrapped(SessionLease& lease, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE untrusted,
                       CK_OBJECT_HANDLE key);
/// What was made WRAP_WITH_TRUSTED stays so.
Status CheckStaysStrict(SessionLease& lease, CK_OBJECT_HANDLE key);
/// `kek` unwraps `blob` as StrictKeyTemplate, and as nothing weaker.
Status CheckUnwrapsStrictAlone(SessionLease& lease, CK_MECHANISM* kwp, CK_OBJECT_HANDLE kek, ByteView blob);
/// `kek` does not wrap a key that could be wrapped to anybody.
Status CheckWrapsStrictAlone(SessionLease& lease, CK_MECHANISM* kwp, CK_OBJECT_HANDLE kek);
/// The user cannot make a TRUSTED key.
Status CheckUserMarksNothing(SessionLease& lease);

}  // namespace skms::hsm
