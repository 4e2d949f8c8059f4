// A row of the probe from the outcome of a try.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "hsm/capabilities.h"

namespace skms::hsm {

/// kYes with `yes` as its detail, or `otherwise` with the error's.
inline CapabilityRow RowFor(std::string name, const Status& tried, std::string yes,
                            Finding otherwise = Finding::kNo) {
  if (tried.has_value()) return {std::move(name), Finding::kYes, std::move(yes)};
  return {std::move(name), otherwise, tried.error().detail};
}

}  // namespace skms::hsm
