// Texts that stand for something else: hex, base64, percent escapes, UTF-8, date-times, apiRoots, lines of
// the log.
#include "base/encoding.h"

#include <chrono>
#include <cstdio>

#include "base/api_root.h"
#include "base/date_time.h"
#include "base/log.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

void CheckOctets(std::string_view input) {
  const ByteView octets = AsBytes(input);
  const Bytes same(octets.begin(), octets.end());
  Require(FromHex(ToHex(octets)) == same, "hex gives the octets back", input);
  Require(FromBase64Url(ToBase64Url(octets)) == same, "base64url gives the octets back", input);
  Require(FromBase64(ToBase64(octets)) == same, "base64 gives the octets back", input);
}

void CheckTexts(std::string_view input) {
  // One text for one octet string: else two could be told apart that are the same, or taken for each other.
  if (const auto octets = FromBase64Url(input))
    Require(ToBase64Url(*octets) == input, "base64url is canonical", input);
  if (const auto octets = FromBase64(input))
    Require(ToBase64(*octets) == input, "base64 is canonical", input);
  if (const auto octets = FromHex(input)) Require(octets->size() * 2 == input.size(), "hex is pairs", input);
  const std::string encoded = PercentEncode(input);
  Require(!HasControl(encoded) && encoded.find_first_of("/?#&= ") == std::string::npos,
          "what is percent-encoded is one segment", encoded);
}

void CheckLine(std::string_view input) {
  const std::string line = OnOneLine(input);
  Require(!HasControl(line) && IsValidUtf8(line), "a line of the log is one line", line);
  Require(line.find("\u2028") == std::string::npos && line.find("\u2029") == std::string::npos,
          "no separator ends a line", line);
  const bool plain = input.find('\\') == std::string_view::npos && line == input;
  if (plain) Require(IsValidUtf8(input), "only UTF-8 is left as it is", input);
}

void CheckDateTime(std::string_view input) {
  const auto time = ParseDateTime(input);
  if (!time) return;
  constexpr std::int64_t kYear10000 = 253'402'300'800'000;
  constexpr std::int64_t kDay = 86'400'000;
  Require(*time<kYear10000 + kDay&& * time> - 62'167'219'200'000 - kDay, "a time is of four digits' years",
          input);
  if (*time < 0 || *time >= kYear10000) return;
  const std::chrono::sys_time<std::chrono::milliseconds> point{std::chrono::milliseconds(*time)};
  const auto day = std::chrono::floor<std::chrono::days>(point);
  const std::chrono::year_month_day date(day);
  const auto in_day = static_cast<int>((point - day).count());
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), in_day / 3'600'000,
                in_day / 60'000 % 60, in_day / 1000 % 60, in_day % 1000);
  Require(ParseDateTime(text) == time, "written in UTC it is the same time", text);
}

void CheckApiRoot(std::string_view input) {
  if (!IsApiRoot(input)) return;
  const ApiRootParts parts = SplitApiRoot(input);
  Require(!parts.authority.empty() && parts.authority.find('/') == std::string::npos, "an apiRoot has a host",
          input);
  Require(parts.prefix.empty() || (parts.prefix.front() == '/' && parts.prefix.back() != '/'),
          "a prefix begins with a slash and ends without", input);
  Require(IsApiRoot("https://" + parts.authority + parts.prefix), "its parts make an apiRoot", input);
}

void CheckEncoding(std::string_view input) {
  CheckOctets(input);
  CheckTexts(input);
  CheckLine(input);
  CheckDateTime(input);
  CheckApiRoot(input);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(encoding, skms::fuzz::CheckEncoding)
