// Payload: what a VAL server provisioned for a service, client, UE or user (TS 33.434 5.8, TS 29.549 7.6.2).
//
// Any bytes; encrypted by the token on arrival, kept as versions of (selector, payload id), delivered as a
// JWE. Plain values.
#pragma once

#include <cstdint>
#include <string>

#include "hsm/wrapped_key.h"
#include "keystore/identifiers.h"

namespace skms::keystore {

inline constexpr std::size_t kMostPayloadsOfSelector = 16;  ///< all of them go out in one answer
inline constexpr std::uint32_t kPayloadVersionsKept = 8;    ///< where the service's policy does not say

struct Payload {
  std::string id;  ///< 128 random bits from the token, base64url: names this version for ever
  Selector selector;
  std::string payload_id;  ///< the VAL server's name for it (KP PayloadID); may be empty
  std::uint32_t version = 1;
  std::int64_t created = 0;  ///< seconds since 1970
  PrincipalId provisioned_by;
  std::string digest;  ///< keyed (HMAC in the token) over what was sent: tells the same payload sent again
  std::string protected_header;  ///< JWE Protected Header, base64url: the ciphertext's additional data
  hsm::SealedPayload sealed;
  std::size_t bytes = 0;  ///< of the plaintext
};

}  // namespace skms::keystore
