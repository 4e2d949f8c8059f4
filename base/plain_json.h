// Flat JSON objects that have one spelling: members in a fixed order, no blanks, strings without a character
// that would need an escape, whole numbers. For what is signed: a verifier takes no other spelling, so that
// there is nothing to read it two ways.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace skms {

class PlainJsonWriter {
 public:
  /// `value`: printable ASCII without quotation mark and backslash; anything else becomes '?'.
  PlainJsonWriter& Text(std::string_view name, std::string_view value);
  PlainJsonWriter& Number(std::string_view name, std::int64_t value);
  std::string Done() const { return text_ + "}"; }

 private:
  void Name(std::string_view name);
  std::string text_ = "{";
};

/// Members are asked for in their order.
class PlainJsonReader {
 public:
  explicit PlainJsonReader(std::string_view text);

  /// nullopt: the next member is another, or none of that kind.
  std::optional<std::string> Text(std::string_view name);
  std::optional<std::int64_t> Number(std::string_view name);
  /// Nothing but the closing brace is left.
  bool AtEnd() const { return left_ == "}"; }

 private:
  bool Take(std::string_view expected);
  bool TakeName(std::string_view name);

  std::string_view left_;
  bool first_ = true;
};

}  // namespace skms
