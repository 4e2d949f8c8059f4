#include "appliance/config/section_reader.h"

#include <arpa/inet.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <set>
#include <utility>

#include "base/api_root.h"

namespace skms::appliance {
namespace {

std::size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

std::string Suggestion(const std::string& key, const std::vector<std::string>& known) {
  const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return EditDistance(key, a) < EditDistance(key, b);
  });
  if (nearest != known.end() && EditDistance(key, *nearest) <= 3) return "; did you mean '" + *nearest + "'?";
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  return "; known keys: " + list;
}

std::string JoinOptions(const std::vector<std::string>& options) {
  std::string text;
  for (const std::string& option : options) text += (text.empty() ? "" : " or ") + option;
  return text;
}

}  // namespace

Error ConfigurationErrorAt(const std::string& file, const YAML::Mark& mark, const std::string& message) {
  if (mark.is_null()) return ConfigurationError(file + ": " + message);
  return ConfigurationError(file + ":" + std::to_string(mark.line + 1) + ":" +
                            std::to_string(mark.column + 1) + ": " + message);
}

SectionReader::SectionReader(std::string file, std::string name, const YAML::Node& section)
    : file_(std::move(file)), name_(std::move(name)), section_(section) {
  if (section_.IsDefined() && !section_.IsMap() && !section_.IsNull()) {
    errors_.push_back(
        ConfigurationErrorAt(file_, section_.Mark(), "'" + name_ + "' must hold 'key: value' lines"));
  }
}

bool SectionReader::present() const { return section_.IsDefined(); }

void SectionReader::Fail(const char* key, const std::string& message) {
  errors_.push_back(ConfigurationErrorAt(file_, section_[key].Mark(),
                                         "'" + name_ + "." + std::string(key) + "' " + message));
}

bool SectionReader::Scalar(const char* key, bool required, std::string& value) {
  known_.emplace_back(key);
  const bool present = section_.IsDefined() && section_.IsMap() && section_[key].IsDefined();
  if (!present) {
    if (required) errors_.push_back(ConfigurationError(file_ + ": '" + name_ + "." + key + "' is missing"));
    return false;
  }
  if (!section_[key].IsScalar()) {
    Fail(key, "must be a single value");
    return false;
  }
  value = section_[key].Scalar();
  if (required && value.empty()) {
    Fail(key, "must not be empty");
    return false;
  }
  return true;
}

void SectionReader::Text(const char* key, std::string& out, bool required) {
  std::string value;
  if (Scalar(key, required, value)) out = value;
}

void SectionReader::Path(const char* key, std::string& out, bool required) {
  std::string value;
  if (!Scalar(key, required, value)) return;
  const std::filesystem::path path(value);
  out = value.empty() || path.is_absolute()
            ? value
            : (std::filesystem::path(file_).parent_path() / path).lexically_normal().string();
}

void SectionReader::Address(const char* key, std::string& out) {
  std::string value;
  if (!Scalar(key, false, value)) return;
  in6_addr address{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  for (const int family : {AF_INET, AF_INET6}) {
    if (value.find('\0') != std::string::npos || ::inet_pton(family, value.c_str(), &address) != 1) continue;
    // One form of each, for it is compared with what sockets tell of themselves.
    out = ::inet_ntop(family, &address, text.data(), text.size());
    return;
  }
  Fail(key, "must be an IPv4 or IPv6 address");
}

void SectionReader::OneOf(const char* key, std::string& out, const std::vector<std::string>& allowed) {
  std::string value;
  if (!Scalar(key, false, value)) return;
  if (std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
    Fail(key, "must be " + JoinOptions(allowed));
    return;
  }
  out = value;
}

void SectionReader::Number(const char* key, std::uint32_t& out, std::uint32_t smallest,
                           std::uint32_t largest) {
  std::string value;
  if (!Scalar(key, false, value)) return;
  std::uint32_t number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, code] = std::from_chars(value.data(), end, number);
  if (code != std::errc{} || stop != end || number < smallest || number > largest) {
    Fail(key, "must be a whole number from " + std::to_string(smallest) + " to " + std::to_string(largest));
    return;
  }
  out = number;
}

void SectionReader::Real(const char* key, double& out, double smallest, double largest) {
  std::string value;
  if (!Scalar(key, false, value)) return;
  double number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, code] = std::from_chars(value.data(), end, number);
  if (code != std::errc{} || stop != end || !(number >= smallest && number <= largest)) {
    Fail(key, "must be a number from " + std::to_string(smallest) + " to " + std::to_string(largest));
    return;
  }
  out = number;
}

void SectionReader::Flag(const char* key, bool& out) {
  std::string value;
  if (!Scalar(key, false, value)) return;
  if (value != "true" && value != "false") {
    Fail(key, "must be true or false");
    return;
  }
  out = value == "true";
}

void SectionReader::ApiRoots(const char* key, std::vector<std::string>& out, std::size_t most) {
  known_.emplace_back(key);
  if (!section_.IsDefined() || !section_.IsMap() || !section_[key].IsDefined()) return;
  const YAML::Node list = section_[key];
  if (!list.IsSequence()) {
    Fail(key, "must be a list: [https://host[:port][/prefix], …]");
    return;
  }
  if (list.size() > most) {
    Fail(key, "must name at most " + std::to_string(most));
    return;
  }
  for (const YAML::Node& item : list) {
    if (!item.IsScalar() || !IsApiRoot(item.Scalar())) {
      errors_.push_back(ConfigurationErrorAt(
          file_, item.Mark(), "'" + name_ + "." + key + "' must be a list, each item " + kApiRootForm));
      return;
    }
    out.push_back(item.Scalar());
  }
}

void SectionReader::Texts(const char* key, std::vector<std::string>& out, std::size_t most) {
  known_.emplace_back(key);
  if (!section_.IsDefined() || !section_.IsMap() || !section_[key].IsDefined()) return;
  const YAML::Node list = section_[key];
  if (!list.IsSequence() || list.size() > most) {
    Fail(key, "must be a list of at most " + std::to_string(most) + ": [one, another]");
    return;
  }
  out.clear();
  for (const YAML::Node& item : list) {
    if (!item.IsScalar() || item.Scalar().empty()) {
      Fail(key, "must be a list of texts: [one, another]");
      return;
    }
    out.push_back(item.Scalar());
  }
}

Status SectionReader::Finish() {
  if (!errors_.empty()) return errors_.front();
  if (!section_.IsDefined() || !section_.IsMap()) return Ok();
  std::set<std::string> seen;
  for (const auto& entry : section_) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      return ConfigurationErrorAt(file_, entry.first.Mark(),
                                  "unknown key '" + key + "' in '" + name_ + "'" + Suggestion(key, known_));
    }
    if (!seen.insert(key).second) {
      return ConfigurationErrorAt(file_, entry.first.Mark(), "'" + name_ + "." + key + "' stands twice");
    }
  }
  return Ok();
}

}  // namespace skms::appliance
