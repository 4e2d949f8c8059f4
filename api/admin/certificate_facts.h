// What the directory keeps of a principal's certificate. Pure function; thread-safe.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "keystore/directory_entries.h"

namespace skms::admin {

/// Fills certificate_spki, _subject (RFC 4514) and _not_after. Errors: kInvalidArgument: not exactly one
/// X.509 certificate in DER, or one whose key cannot be read.
Status ReadCertificateFacts(ByteView der, keystore::Principal& principal);

}  // namespace skms::admin
