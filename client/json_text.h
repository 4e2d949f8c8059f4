// Reading members of a JSON object that a server sent: what is missing or of another kind is empty.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace skms::client {

/// Empty where `object` is no object, or the member is missing or no string.
std::string Text(const nlohmann::json& object, const char* name);
/// kIntegrity where the member is not base64url.
Result<Bytes> Octets(const nlohmann::json& object, const char* name);

}  // namespace skms::client
