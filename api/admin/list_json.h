// A page of entries as the admin API answers it. For the files that serve its resources.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <utility>
#include <vector>

#include "api/admin/admin_call.h"
#include "api/admin/entry_json.h"

namespace skms::admin {

/// {"<name>": [...]}; whoever calls it includes nlohmann/json.hpp.
template <class Entry>
http::Response List(const char* name, const std::vector<Entry>& entries) {
  nlohmann::json list = nlohmann::json::array();
  for (const Entry& entry : entries) list.push_back(ToJson(entry));
  return JsonResponse(200, {{name, std::move(list)}});
}

}  // namespace skms::admin
