// Hex and base64url without padding (RFC 4648 clause 5 and 8): the text forms of octets in JSON and in the
// database.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace skms {

std::string ToHex(ByteView bytes);  ///< lower case
/// nullopt on an odd length or a character outside 0-9a-fA-F.
std::optional<Bytes> FromHex(std::string_view text);

std::string ToBase64Url(ByteView bytes);  ///< no padding
/// nullopt on padding, white space, a foreign character, an impossible length or non-zero trailing bits.
std::optional<Bytes> FromBase64Url(std::string_view text);
std::string ToBase64(ByteView bytes);  ///< RFC 4648 4, with padding
/// RFC 4648 4, with padding; nullopt for anything else, blanks and line ends too.
std::optional<Bytes> FromBase64(std::string_view text);

/// Every octet but RFC 3986's unreserved characters as %XX, upper case: for a path segment or a query value.
std::string PercentEncode(std::string_view text);

/// True when `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
bool IsValidUtf8(std::string_view text);

}  // namespace skms
