// OpenKey, OpenPayload: from wrapped to plain, with the recipient's key. The inverse of what the server's
// token did (docs/wire-format.md).
//
// Thread-safe. Errors of both: kIntegrity (it does not open with this key), kInvalidArgument (the other kind
// of recipient key is needed), kIo and kConfiguration (the key file), kUnsupported (alg).
#pragma once

#include <string>

#include "client/key_answer.h"

namespace skms::client {

/// What the recipient has: a private key file (RSA; EC on P-256 or P-384), or a transport key.
struct RecipientKey {
  std::string private_key_path;  ///< PEM
  SecretBytes transport_key;     ///< 32 octets, or empty
};

/// Symmetric keys as octets, EC private keys as PKCS#8 DER.
Result<SecretBytes> OpenKey(const ReceivedKey& key, const RecipientKey& recipient);

/// What the VAL server provisioned, octet for octet.
Result<SecretBytes> OpenPayload(const ReceivedPayload& payload, const RecipientKey& recipient);

}  // namespace skms::client
