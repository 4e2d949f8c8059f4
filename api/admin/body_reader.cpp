#include "api/admin/body_reader.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"

namespace skms::admin {

using nlohmann::json;

std::optional<std::int64_t> WholeNumber(const std::string& text) {
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [last, code] = std::from_chars(text.data(), end, number);
  if (code != std::errc{} || last != end || number < 0) return std::nullopt;
  return number;
}

BodyReader::BodyReader(const json& body, InvalidParams& invalid)
    : body_(body), invalid_(invalid), before_(invalid.size()) {}

bool BodyReader::Has(const char* member) const { return body_.is_object() && body_.contains(member); }

const json* BodyReader::Find(const char* member, bool required) {
  known_.emplace_back(member);
  if (!body_.is_object()) return nullptr;
  const auto found = body_.find(member);
  if (found != body_.end()) return &*found;
  if (required) Wrong(member, "is missing");
  return nullptr;
}

std::string BodyReader::Text(const char* member, bool required, std::string otherwise) {
  const json* value = Find(member, required);
  if (value == nullptr) return otherwise;
  if (value->is_string()) return value->get<std::string>();
  Wrong(member, "must be a string");
  return otherwise;
}

std::vector<std::string> BodyReader::Texts(const char* member, std::vector<std::string> otherwise) {
  const json* value = Find(member, false);
  if (value == nullptr) return otherwise;
  const bool all_text = value->is_array() && std::all_of(value->begin(), value->end(),
                                                         [](const json& one) { return one.is_string(); });
  if (all_text) return value->get<std::vector<std::string>>();
  Wrong(member, "must be a list of strings");
  return otherwise;
}

bool BodyReader::Flag(const char* member, bool otherwise) {
  const json* value = Find(member, false);
  if (value == nullptr) return otherwise;
  if (value->is_boolean()) return value->get<bool>();
  Wrong(member, "must be true or false");
  return otherwise;
}

std::int64_t BodyReader::Number(const char* member, std::int64_t otherwise) {
  const json* value = Find(member, false);
  if (value == nullptr) return otherwise;
  if (value->is_number_integer() &&
      !(value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX)) {
    if (const auto number = value->get<std::int64_t>(); number >= 0) return number;
  }
  Wrong(member, "must be a whole number from 0");
  return otherwise;
}

Bytes BodyReader::Octets(const char* member, bool required) {
  const std::string text = Text(member, required);
  auto octets = FromBase64Url(text);
  if (octets && (Has(member) ? !octets->empty() : true)) return std::move(*octets);
  Wrong(member, "must be octets in base64url without padding");
  return {};
}

std::string BodyReader::Object(const char* member) {
  const json* value = Find(member, true);
  if (value == nullptr) return {};
  if (value->is_object()) return value->dump();
  Wrong(member, "must be an object");
  return {};
}

void BodyReader::Wrong(std::string_view member, std::string reason) {
  const std::string pointer = "/" + std::string(member);
  const auto own = invalid_.begin() + static_cast<std::ptrdiff_t>(before_);
  const bool noted =
      std::any_of(own, invalid_.end(), [&](const http::InvalidParam& one) { return one.param == pointer; });
  if (!noted) invalid_.push_back({pointer, std::move(reason)});
}

Status BodyReader::Finish() {
  if (!body_.is_object()) return InvalidArgument("the body must be a JSON object");
  for (const auto& [name, value] : body_.items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    Wrong(name, "is not a member of this object");
  }
  if (invalid_.size() == before_) return Ok();
  const http::InvalidParam& first = invalid_[before_];
  return InvalidArgument("'" + first.param.substr(1) + "': " + first.reason);
}

}  // namespace skms::admin
