// Times as people write them on a command line: 90d, 12h, 30m, 45s, or plain seconds. Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace skms::provisioning {

/// Seconds. Throws boost::program_options::error naming `option` when it is no such text.
std::int64_t ParseDuration(const std::string& option, const std::string& text);

/// A number from 0. Throws as ParseDuration.
std::int64_t ParseCount(const std::string& option, const std::string& text);

/// "90d", "36h", "90s"; "-" for 0. The longest unit that fits without a rest.
std::string FormatDuration(std::int64_t seconds);

}  // namespace skms::provisioning
