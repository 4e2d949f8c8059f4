// Text of HTTP fields (RFC 9110 5.6), of heads and of what stands in them. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace skms::http {

/// Without optional whitespace (SP, HTAB) around it; of the same octets.
inline std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const std::size_t first = text.find_first_not_of(kBlank);
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// A to Z as a to z, in any locale.
inline std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace skms::http
