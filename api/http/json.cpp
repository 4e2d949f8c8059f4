#include "api/http/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/encoding.h"

namespace skms::http {

Result<nlohmann::json> ParseJson(std::string_view text, const JsonLimits& limits) {
  using nlohmann::json;
  if (text.size() > limits.max_bytes) {
    return Error{ErrorCode::kTooLarge, "JSON of more than " + std::to_string(limits.max_bytes) + " bytes"};
  }
  if (!IsValidUtf8(text)) return InvalidArgument("not UTF-8");
  std::vector<std::set<std::string>> members;
  std::string problem;
  std::size_t values = 0;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    // Nothing more is kept, and `members` no longer follows the text: the parser tells no end of what it
    // drops.
    if (!problem.empty()) return false;
    if (event != json::parse_event_t::key && ++values > 2 * limits.max_values) {
      problem = "more values than accepted";
      return false;
    }
    if (static_cast<std::size_t>(depth) >= limits.max_depth) problem = "nested too deeply";
    if (event == json::parse_event_t::object_start) members.emplace_back();
    if (event == json::parse_event_t::object_end) members.pop_back();
    if (event == json::parse_event_t::key && !members.back().insert(parsed.get<std::string>()).second) {
      problem = "a member stands twice";
    }
    return true;
  };
  // The parser keeps its stack on the heap, so depth costs memory bounded by max_bytes, never the thread.
  json parsed = json::parse(text.begin(), text.end(), watch, false);
  if (!problem.empty()) return InvalidArgument(problem);
  if (parsed.is_discarded()) return InvalidArgument("not JSON");
  return parsed;
}

}  // namespace skms::http
