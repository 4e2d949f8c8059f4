#include "base/api_root.h"

#include <algorithm>

namespace skms {

bool IsApiRoot(std::string_view text) {
  constexpr std::string_view kScheme = "https://";
  if (text.substr(0, kScheme.size()) != kScheme) return false;
  const std::string_view rest = text.substr(kScheme.size());
  if (rest.empty() || rest.front() == '/' || rest.back() == '/') return false;
  constexpr std::string_view kNotHere = "?#\"<>\\^`{|}";
  return std::all_of(rest.begin(), rest.end(), [&](char c) {
    return c > ' ' && c <= '~' && kNotHere.find(c) == std::string_view::npos;
  });
}

}  // namespace skms
