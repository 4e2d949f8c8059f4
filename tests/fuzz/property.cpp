#include "tests/fuzz/property.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"

namespace skms::fuzz {

void Require(bool holds, const char* property, std::string_view seen) {
  if (holds) return;
  std::fprintf(stderr, "\nbroken property: %s\n  seen: %s\n", property, OnOneLine(seen).c_str());
  std::abort();
}

std::string_view TakeUntil(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

std::vector<std::string_view> SplitAt(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) parts.push_back(TakeUntil(text, separator));
  return parts;
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

void BeSilent() { OpenLog("fuzz", LogLevel::kCritical); }

std::vector<Target>& Targets() {
  static std::vector<Target> targets;
  return targets;
}

}  // namespace skms::fuzz
