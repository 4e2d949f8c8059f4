// Date-times as texts (RFC 3339, as in TS 29.122 and TS 33.434). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace skms {

/// Milliseconds since 1970 of an RFC 3339 date-time with "Z" or an offset; nullopt when it is none.
std::optional<std::int64_t> ParseDateTime(std::string_view text);

}  // namespace skms
