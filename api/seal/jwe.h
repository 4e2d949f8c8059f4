// JSON Web Encryption (RFC 7516) as far as we need it: what comes in encrypted to our transfer key, and what
// goes out re-addressed to a recipient.
//
// Out: flattened JSON serialization, `enc` in the protected header, `alg` and `kid` in the recipient's, for
// the same ciphertext goes to several. In: compact, flattened or general serialization. Pure functions;
// thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "keystore/key_store.h"

namespace skms::seal {

/// The keys that JWEs to this server may be encrypted to: "skms-transfer-<generation>".
struct TransferKeys {
  std::vector<std::uint32_t> generations;  ///< ascending; there is one at least
  std::string alg;                         ///< "RSA-OAEP" or "RSA-OAEP-256"
};
std::string TransferKeyId(std::uint32_t generation);

/// nullopt: it is no JWE with a recipient of a kid of ours, so it is a payload like any other. Else its
/// parts, or kInvalidArgument with what to mend (a former key that is gone, another alg, another enc than
/// A256GCM, crit, zip, parts that are not base64url or have another length).
std::optional<Result<hsm::TransferredPayload>> ReadJweForUs(ByteView octets, const TransferKeys& ours);

/// {"protected", "header": {"alg", "kid"}, "encrypted_key", "iv", "ciphertext", "tag"}. kInternal: no content
/// key.
Result<nlohmann::json> EncodeJwe(const keystore::DeliveredPayload& delivered);

}  // namespace skms::seal
