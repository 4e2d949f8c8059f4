#include "api/http/query.h"

#include <algorithm>

#include "base/encoding.h"

namespace skms::http {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsClean(std::string_view text) {
  return IsValidUtf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
         });
}

}  // namespace

bool PercentDecode(std::string_view text, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

Result<QueryParameters> ParseQuery(std::string_view query) {
  QueryParameters parameters;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    std::string name;
    std::string value;
    if (!PercentDecode(pair.substr(0, equals), name) || !IsClean(name)) return InvalidArgument("");
    if (equals < pair.size() && !PercentDecode(pair.substr(equals + 1), value)) return InvalidArgument(name);
    if (!IsClean(value)) return InvalidArgument(name);
    if (name.empty() && value.empty()) continue;  // "a=1&&b=2" and a trailing "&"
    parameters.emplace_back(std::move(name), std::move(value));
  }
  return parameters;
}

}  // namespace skms::http
