#include "base/api_root.h"

#include <algorithm>
#include <cctype>

namespace skms {
namespace {

constexpr std::string_view kScheme = "https://";

}  // namespace

bool IsApiRoot(std::string_view text) {
  if (text.substr(0, kScheme.size()) != kScheme) return false;
  const std::string_view rest = text.substr(kScheme.size());
  if (rest.empty() || rest.front() == '/' || rest.back() == '/') return false;
  constexpr std::string_view kNotHere = "?#\"<>\\^`{|}";
  return std::all_of(rest.begin(), rest.end(), [&](char c) {
    return c > ' ' && c <= '~' && kNotHere.find(c) == std::string_view::npos;
  });
}

ApiRootParts SplitApiRoot(std::string_view root) {
  root.remove_prefix(kScheme.size());
  const std::size_t slash = std::min(root.find('/'), root.size());
  ApiRootParts parts{std::string(root.substr(0, slash)), std::string(root.substr(slash))};
  std::transform(parts.authority.begin(), parts.authority.end(), parts.authority.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return parts;
}

}  // namespace skms
