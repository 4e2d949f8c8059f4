#include "provisioning/duration.h"

#include <boost/program_options/errors.hpp>
#include <charconv>
#include <limits>
#include <string_view>

namespace skms::provisioning {
namespace {

struct Unit {
  char letter;
  std::int64_t seconds;
};
constexpr Unit kUnits[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

/// The number that `text` begins with; -1 when it begins with none. `text` becomes the rest.
std::int64_t TakeNumber(std::string_view& text) {
  std::int64_t number = -1;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || number < 0) return -1;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

}  // namespace

std::int64_t ParseDuration(const std::string& option, const std::string& text) {
  std::string_view rest = text;
  const std::int64_t number = TakeNumber(rest);
  for (const Unit& unit : kUnits) {
    const bool plain_seconds = rest.empty() && unit.seconds == 1;
    if (!plain_seconds && rest != std::string_view(&unit.letter, 1)) continue;
    if (number < 0 || number > std::numeric_limits<std::int64_t>::max() / unit.seconds) break;
    return number * unit.seconds;
  }
  throw boost::program_options::error("--" + option + " is a time like 90d, 12h, 30m or 45s");
}

std::int64_t ParseCount(const std::string& option, const std::string& text) {
  std::string_view rest = text;
  const std::int64_t number = TakeNumber(rest);
  if (number < 0 || !rest.empty())
    throw boost::program_options::error("--" + option + " is a whole number from 0");
  return number;
}

std::string FormatDuration(std::int64_t seconds) {
  if (seconds == 0) return "-";
  for (const Unit& unit : kUnits) {
    if (seconds % unit.seconds == 0) return std::to_string(seconds / unit.seconds) + unit.letter;
  }
  return std::to_string(seconds) + "s";
}

}  // namespace skms::provisioning
