// Query strings (TS 29.122 5.2.12, RFC 3986): name=value joined by "&", percent-decoded once, "+" left alone.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace skms::http {

using QueryParameters = std::vector<std::pair<std::string, std::string>>;

/// Errors: kInvalidArgument for a broken percent escape, a control character or octets that are not UTF-8;
/// the detail is the parameter's name where that is readable, else empty.
Result<QueryParameters> ParseQuery(std::string_view query);

/// nullopt-like: false on a broken escape. Appends the decoded octets to `out`.
bool PercentDecode(std::string_view text, std::string& out);

}  // namespace skms::http
