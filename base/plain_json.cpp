#include "base/plain_json.h"

#include <algorithm>
#include <charconv>

namespace skms {
namespace {

bool IsPlain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

}  // namespace

void PlainJsonWriter::Name(std::string_view name) {
  if (text_.size() > 1) text_ += ',';
  text_ += '"';
  text_ += name;
  text_ += "\":";
}

PlainJsonWriter& PlainJsonWriter::Text(std::string_view name, std::string_view value) {
  Name(name);
  text_ += '"';
  for (const char c : value) text_ += IsPlain(c) ? c : '?';
  text_ += '"';
  return *this;
}

PlainJsonWriter& PlainJsonWriter::Number(std::string_view name, std::int64_t value) {
  Name(name);
  text_ += std::to_string(value);
  return *this;
}

PlainJsonReader::PlainJsonReader(std::string_view text) : left_(text) {
  if (!Take("{")) left_ = {};
}

bool PlainJsonReader::Take(std::string_view expected) {
  if (left_.substr(0, expected.size()) != expected) return false;
  left_.remove_prefix(expected.size());
  return true;
}

bool PlainJsonReader::TakeName(std::string_view name) {
  const std::string_view before = left_;
  if ((first_ || Take(",")) && Take("\"") && Take(name) && Take("\":")) {
    first_ = false;
    return true;
  }
  left_ = before;
  return false;
}

std::optional<std::string> PlainJsonReader::Text(std::string_view name) {
  const std::string_view before = left_;
  const bool was_first = first_;
  if (TakeName(name) && Take("\"")) {
    const auto* const end = std::find_if_not(left_.begin(), left_.end(), IsPlain);
    std::string value(left_.begin(), end);
    left_.remove_prefix(value.size());
    if (Take("\"")) return value;
  }
  left_ = before;
  first_ = was_first;
  return std::nullopt;
}

std::optional<std::int64_t> PlainJsonReader::Number(std::string_view name) {
  const std::string_view before = left_;
  const bool was_first = first_;
  if (TakeName(name)) {
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(left_.data(), left_.data() + left_.size(), value);
    const auto length = static_cast<std::size_t>(end - left_.data());
    // "007" and "-0" are other spellings of what has one.
    if (code == std::errc{} && left_.substr(0, length) == std::to_string(value)) {
      left_.remove_prefix(length);
      return value;
    }
  }
  left_ = before;
  first_ = was_first;
  return std::nullopt;
}

}  // namespace skms
