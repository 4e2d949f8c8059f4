// Strict JSON input: bounded size and depth, UTF-8 only, no duplicate member names (RFC 8259 with I-JSON's
// rule), so that two readers never see two different values.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.h"

namespace skms::http {

struct JsonLimits {
  std::size_t max_bytes = 65536;
  std::size_t max_depth = 16;
  std::size_t max_values = 20000;  ///< objects, lists and values together: each costs memory beyond its bytes
};

/// Errors: kInvalidArgument (not JSON, duplicate member, too deep), kTooLarge.
Result<nlohmann::json> ParseJson(std::string_view text, const JsonLimits& limits = {});

}  // namespace skms::http
