#include "provisioning/output.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

namespace skms::provisioning {
namespace {

/// A terminal must not obey what stands in a name.
std::string Clean(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; },
      '?');
  return text;
}

/// Characters, not octets: continuation octets of UTF-8 take no place.
std::size_t Width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

}  // namespace

std::string RenderTable(const std::vector<std::string>& header,
                        const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::string& name : header) widths.push_back(Width(name));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(Clean(row[i])));
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string cell = Clean(cells[i]);
      line += cell + std::string(widths[i] - Width(cell) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  };
  add(header);
  for (const auto& row : rows) add(row);
  return text;
}

std::string RenderPairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::size_t width = 0;
  for (const auto& [name, value] : pairs) width = std::max(width, Width(name));
  std::string text;
  for (const auto& [name, value] : pairs)
    text += name + std::string(width - Width(name) + 2, ' ') + Clean(value) + '\n';
  return text;
}

std::string Cell(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>().empty() ? "-" : value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_null()) return "-";
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const auto& one : value) text += (text.empty() ? "" : ",") + Cell(one);
  return text.empty() ? "-" : text;
}

void PrintJson(const nlohmann::json& value) { std::cout << value.dump(2) << '\n'; }

}  // namespace skms::provisioning
