#include "base/date_time.h"

#include <charconv>
#include <chrono>

namespace skms {
namespace {

/// Reads exactly `digits` decimal digits at the front of `text` and the separator after them.
bool TakeNumber(std::string_view& text, std::size_t digits, std::string_view separator, int& out) {
  if (text.size() < digits + separator.size()) return false;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
  }
  std::from_chars(text.data(), text.data() + digits, out);
  text.remove_prefix(digits);
  if (!separator.empty() && text.substr(0, separator.size()) != separator) return false;
  text.remove_prefix(separator.size());
  return true;
}

/// "Z" or "+hh:mm": minutes east of UTC.
std::optional<int> TakeOffset(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.empty() || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const int sign = text[0] == '+' ? 1 : -1;
  text.remove_prefix(1);
  int hours = 0;
  int minutes = 0;
  if (!TakeNumber(text, 2, ":", hours) || !TakeNumber(text, 2, "", minutes) || !text.empty())
    return std::nullopt;
  if (hours > 23 || minutes > 59) return std::nullopt;
  return sign * (hours * 60 + minutes);
}

/// Fraction of a second after the dot, in milliseconds; advances `text` past it.
std::optional<int> TakeFraction(std::string_view& text) {
  if (text.empty() || text[0] != '.') return 0;
  text.remove_prefix(1);
  int milliseconds = 0;
  int scale = 100;
  std::size_t digits = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    milliseconds += (text[0] - '0') * scale;
    scale /= 10;
    ++digits;
    text.remove_prefix(1);
  }
  if (digits == 0 || digits > 9) return std::nullopt;
  return milliseconds;
}

}  // namespace

std::optional<std::int64_t> ParseDateTime(std::string_view text) {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (!TakeNumber(text, 4, "-", year) || !TakeNumber(text, 2, "-", month) || !TakeNumber(text, 2, "T", day) ||
      !TakeNumber(text, 2, ":", hour) || !TakeNumber(text, 2, ":", minute) ||
      !TakeNumber(text, 2, "", second)) {
    return std::nullopt;
  }
  const std::optional<int> fraction = TakeFraction(text);
  if (!fraction) return std::nullopt;
  const std::optional<int> offset = TakeOffset(text);
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!offset || !date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + hour) * 60 + minute - *offset) * 60 + second;
  return seconds * 1000 + *fraction;
}

}  // namespace skms
