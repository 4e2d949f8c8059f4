// A public key from a file, PEM or DER. Thread-safe.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace skms {

/// SubjectPublicKeyInfo DER of a public key file. Errors: kIo, kConfiguration (also for a private key: name
/// the public half).
Result<Bytes> ReadPublicKey(const std::string& path);

}  // namespace skms
