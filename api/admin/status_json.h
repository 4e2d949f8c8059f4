// What the server says of itself: GET /admin/v1/status. Thread-safe.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "api/admin/admin_api.h"

namespace skms::admin {

/// Errors: kStorage.
Result<nlohmann::json> ReadStatus(const AdminDependencies& deps);

}  // namespace skms::admin
