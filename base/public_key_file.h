// Public keys from a file, PEM or DER. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace skms {

/// SubjectPublicKeyInfo DER of a public key file. Errors: kIo, kConfiguration (also for a private key: name
/// the public half).
Result<Bytes> ReadPublicKey(const std::string& path);
/// All that stand in a PEM file, one at least; of DER the one. Errors: as ReadPublicKey.
Result<std::vector<Bytes>> ReadPublicKeys(const std::string& path);

}  // namespace skms
