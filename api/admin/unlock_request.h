// The body of POST /admin/v1/unlock. One thread.
#pragma once

#include <string>

#include "api/admin/admin_call.h"
#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms::admin {

inline constexpr std::size_t kMaxPinOctets = 256;

struct UnlockRequest {
  std::string label;  ///< empty: the only token
  SecretBytes pin;
};

/// Errors: kInvalidArgument, with what is wrong in `call.invalid`; the PIN is in none of it.
Result<UnlockRequest> UnlockRequestOf(Call& call);

}  // namespace skms::admin
