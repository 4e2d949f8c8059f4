// What people see: aligned tables, or stable JSON. Pure but for the Print… functions, which write to standard
// output.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skms::provisioning {

/// `text` without what a terminal would obey: control characters become "?".
std::string Printable(std::string_view text);

/// `text` as one word of a shell command line, for commands that are shown to be copied.
std::string ShellWord(const std::string& text);

/// "service,user" → "service", "user".
std::vector<std::string> AtCommas(const std::string& text);

/// Columns aligned, two blanks between them. Cells are made Printable.
std::string RenderTable(const std::vector<std::string>& header,
                        const std::vector<std::vector<std::string>>& rows);

/// "name  value" lines.
std::string RenderPairs(const std::vector<std::pair<std::string, std::string>>& pairs);

/// Member `name` as a cell: strings bare, lists joined by commas, booleans as yes and no, absent as "-".
std::string Cell(const nlohmann::json& object, const char* name);

void PrintJson(const nlohmann::json& value);

/// The table of `list`, one row an entry with the given members, or `none` when it is empty.
struct Column {
  const char* title;
  const char* member;
};
void PrintList(const nlohmann::json& list, const std::vector<Column>& columns, const char* none);

/// What a command without a listing did: `sentence` for people, or {"result", kind: id} as JSON.
void PrintDone(bool as_json, const char* kind, const std::string& id, const char* result,
               const std::string& sentence);

}  // namespace skms::provisioning
