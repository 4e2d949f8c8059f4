// BodyReader: takes one JSON object apart, member by member, and collects everything that is wrong with it.
//
// Members nobody asked for are refused by name, so that a misspelt policy is not taken for its default. Not
// thread-safe; borrows the JSON value and the list it adds to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http/problem_details.h"
#include "base/bytes.h"
#include "base/result.h"

namespace skms::admin {

using InvalidParams = std::vector<http::InvalidParam>;

/// Decimal, from 0; nullopt for anything else.
std::optional<std::int64_t> WholeNumber(const std::string& text);

class BodyReader {
 public:
  /// `invalid` gains a JSON pointer and a reason for each wrong member.
  BodyReader(const nlohmann::json& body, InvalidParams& invalid);

  bool Has(const char* member) const;
  /// Absent or wrong: `otherwise`, and a note if it is wrong or required.
  std::string Text(const char* member, bool required, std::string otherwise = {});
  std::vector<std::string> Texts(const char* member, std::vector<std::string> otherwise);
  bool Flag(const char* member, bool otherwise);
  /// A whole number from 0.
  std::int64_t Number(const char* member, std::int64_t otherwise);
  /// base64url without padding.
  Bytes Octets(const char* member, bool required);
  /// An object, as JSON text.
  std::string Object(const char* member);

  void Wrong(std::string_view member, std::string reason);
  /// The value of `result`, or `otherwise` with the error noted for `member`.
  template <class T>
  T Take(const char* member, Result<T> result, T otherwise) {
    if (result.has_value()) return std::move(result).value();
    Wrong(member, result.error().detail);
    return otherwise;
  }

  /// kInvalidArgument for the first thing that is wrong; all are in the list.
  Status Finish();

 private:
  const nlohmann::json* Find(const char* member, bool required);

  const nlohmann::json& body_;
  InvalidParams& invalid_;
  const std::size_t before_;  ///< notes in the list that are not ours
  std::vector<std::string_view> known_;
};

}  // namespace skms::admin
