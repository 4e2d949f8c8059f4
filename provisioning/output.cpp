#include "provisioning/output.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace skms::provisioning {
namespace {

using nlohmann::json;

/// Characters, not octets: continuation octets of UTF-8 take no place.
std::size_t Width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

std::string ValueText(const json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>().empty() ? "-" : value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const json& one : value) text += (text.empty() ? "" : ",") + ValueText(one);
  return text.empty() ? "-" : text;
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto octet = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (octet < 0x20 || octet == 0x7F) {
      out += '?';
    } else if (octet == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F: CSI and its kin
      out += '?';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string ShellWord(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '.' || c == '_' || c == ':' || c == '@' || c == '/';
  });
  if (plain) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::vector<std::string> AtCommas(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

std::string RenderTable(const std::vector<std::string>& header,
                        const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  widths.reserve(header.size());
  for (const std::string& name : header) widths.push_back(Width(name));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(Printable(row[i])));
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string cell = Printable(cells[i]);
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
    text += name + std::string(width - Width(name) + 2, ' ') + Printable(value) + '\n';
  return text;
}

std::string Cell(const json& object, const char* name) {
  if (!object.is_object() || !object.contains(name)) return "-";
  return ValueText(object[name]);
}

void PrintJson(const json& value) {
  std::cout << value.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
}

void PrintList(const json& list, const std::vector<Column>& columns, const char* none) {
  if (list.empty()) {
    std::cout << none << '\n';
    return;
  }
  std::vector<std::string> header;
  header.reserve(columns.size());
  for (const Column& column : columns) header.emplace_back(column.title);
  std::vector<std::vector<std::string>> rows;
  for (const json& entry : list) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const Column& column : columns) row.push_back(Cell(entry, column.member));
  }
  std::cout << RenderTable(header, rows);
}

void PrintDone(bool as_json, const char* kind, const std::string& id, const char* result,
               const std::string& sentence) {
  if (as_json) {
    PrintJson({{kind, id}, {"result", result}});
  } else {
    std::cout << Printable(sentence) << '\n';
  }
}

}  // namespace skms::provisioning
