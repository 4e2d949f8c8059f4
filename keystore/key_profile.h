// KeyProfile: the table of what kinds of VAL key there are. A new kind is a new row, and a test walks every
// row.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "hsm/wrapped_key.h"

namespace skms::keystore {

struct KeyProfile {
  std::string_view name;  ///< "aes-256"
  hsm::KeySpec spec;
  std::string_view alg;    ///< JOSE name in keyInfo: "A256GCM", "HS256", "ES256"
  std::string_view kty;    ///< "oct" or "EC" (RFC 7517)
  std::string_view use;    ///< "enc" or "sig"
  unsigned security_bits;  ///< SP 800-57 part 1 table 2
};

/// aes-128, aes-256, hmac-sha256, ec-p256.
std::span<const KeyProfile> KeyProfiles();
/// Errors: kInvalidArgument listing the known names.
Result<KeyProfile> FindKeyProfile(std::string_view name);

}  // namespace skms::keystore
