// The form of an apiRoot (TS 29.501 4.4.1): "https://host[:port][/prefix]", no slash at the end.
//
// Pure; thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace skms {

inline constexpr const char* kApiRootForm = "https://host[:port][/prefix] without a slash at the end";

/// Has `text` that form, in printable ASCII, without a query, a fragment or a character that no URI has? Says
/// nothing about whether the host or port exists.
bool IsApiRoot(std::string_view text);

struct ApiRootParts {
  std::string authority;  ///< "host" or "host:port", lower case
  std::string prefix;     ///< "" or "/prefix"
};
/// Of one that IsApiRoot.
ApiRootParts SplitApiRoot(std::string_view root);

}  // namespace skms
