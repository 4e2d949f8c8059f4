#include "api/http/negotiation.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "api/http/field_text.h"

namespace skms::http {
namespace {

/// "application/json;q=0.5": allows JSON with a weight above 0?
bool RangeAllowsJson(std::string_view range) {
  const std::size_t semicolon = std::min(range.find(';'), range.size());
  const std::string type = LowerCase(Trim(range.substr(0, semicolon)));
  if (type != "application/json" && type != "application/*" && type != "*/*") return false;
  const std::string parameters = LowerCase(range.substr(semicolon));
  const std::size_t weight = parameters.find("q=");
  return weight == std::string::npos || std::strtod(parameters.c_str() + weight + 2, nullptr) > 0;
}

std::string_view WithoutWeakness(std::string_view tag) {
  if (tag.substr(0, 2) == "W/") tag.remove_prefix(2);
  return tag;
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

bool HasEntity(const Request& request, std::string_view tag) {
  const std::string* known = request.headers.Find("If-None-Match");
  if (known == nullptr) return false;
  // Our own tags hold no comma.
  std::string_view rest = *known;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view one = Trim(rest.substr(0, comma));
    if (one == "*" || WithoutWeakness(one) == WithoutWeakness(tag)) return true;
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return false;
}

Response JsonAnswer(int status, std::string body) {
  Response response;
  response.status = status;
  response.headers.Set("Content-Type", "application/json");
  response.body = std::move(body);
  return response;
}

Response NotModified(std::string tag) {
  Response response;
  response.status = 304;
  response.headers.Set("ETag", std::move(tag));
  return response;
}

}  // namespace skms::http
