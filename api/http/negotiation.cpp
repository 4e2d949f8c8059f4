#include "api/http/negotiation.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

namespace skms::http {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

/// "application/json;q=0.5": allows JSON with a weight above 0?
bool RangeAllowsJson(std::string_view range) {
  const std::size_t semicolon = std::min(range.find(';'), range.size());
  const std::string type = LowerCase(Trim(range.substr(0, semicolon)));
  if (type != "application/json" && type != "application/*" && type != "*/*") return false;
  const std::string parameters = LowerCase(range.substr(semicolon));
  const std::size_t weight = parameters.find("q=");
  return weight == std::string::npos || std::strtod(parameters.c_str() + weight + 2, nullptr) > 0;
}

}  // namespace

bool AcceptsJson(const Request& request) {
  bool any = false;
  for (const auto& [name, value] : request.headers.fields()) {
    if (LowerCase(name) != "accept") continue;
    any = true;
    std::string_view rest = value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (RangeAllowsJson(rest.substr(0, comma))) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return !any;
}

bool HasJsonBody(const Request& request) {
  const std::string* type = request.headers.Find("Content-Type");
  if (type == nullptr || request.headers.Count("Content-Type") > 1) return false;
  return LowerCase(Trim(std::string_view{*type}.substr(0, type->find(';')))) == "application/json";
}

}  // namespace skms::http
