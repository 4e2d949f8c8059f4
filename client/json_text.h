// Reading members of a JSON object that a server sent: what is missing or of another kind is empty.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace skms::client {

/// The JSON value, or a discarded one (`is_discarded`) where `text` is none or is nested deeper than a server
/// has reason to: what is in memory can be copied and destroyed without recursion that a server chose.
nlohmann::json ParseJson(const std::string& text);
/// The member, or null where `object` is no object or has none.
const nlohmann::json& Member(const nlohmann::json& object, const char* name);
/// Empty where `object` is no object, or the member is missing or no string.
std::string Text(const nlohmann::json& object, const char* name);
/// kIntegrity where the member is not base64url.
Result<Bytes> Octets(const nlohmann::json& object, const char* name);
/// 0 where the member is missing; kIntegrity where it is no whole number from 0 to 2^53 - 1 (RFC 7493).
Result<std::int64_t> Integer(const nlohmann::json& object, const char* name);

}  // namespace skms::client
