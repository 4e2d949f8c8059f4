// What people see: aligned tables, or stable JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace skms::provisioning {

/// Columns aligned, two blanks between them, header in capitals. Control characters in cells are shown as
/// "?".
std::string RenderTable(const std::vector<std::string>& header,
                        const std::vector<std::vector<std::string>>& rows);

/// "name   value" lines.
std::string RenderPairs(const std::vector<std::pair<std::string, std::string>>& pairs);

/// A JSON value as a cell: strings bare, lists joined by commas, booleans as yes and no.
std::string Cell(const nlohmann::json& value);

void PrintJson(const nlohmann::json& value);

}  // namespace skms::provisioning
