// What authentication reads from a client certificate.
#pragma once

#include <optional>

#include "base/bytes.h"

namespace skms::auth {

/// SubjectPublicKeyInfo DER of a certificate; nullopt when it is none.
std::optional<Bytes> SpkiOf(ByteView certificate_der);

}  // namespace skms::auth
