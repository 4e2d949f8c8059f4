// SealJwe: what a provisioner sends to the server's transfer key. Internal to libskmc. Thread-safe.
#pragma once

#include <string>

#include "client/key_management_client.h"

namespace skms::client {

/// A JWE in compact serialization (RFC 7516 7.1), `enc` A256GCM and a content key of its own, that the
/// server's token alone can open. Errors: kUnsupported (the key's alg), kIntegrity (the key is none),
/// kInternal.
Result<std::string> SealJwe(ByteView payload, const Discovery::TransferKey& to);

}  // namespace skms::client
