// The state of the whole server in one word, with what is wrong: what an operator sees first.
//
// Asks no token and no database; pure but for the reports it asks for. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "api/admin/admin_api.h"

namespace skms::admin {

struct ApplianceState {
  enum class Name {
    kOperational,  ///< nothing is wrong
    kDegraded,     ///< something is, and each reason says what; what can be served is
  };
  Name name = Name::kOperational;
  std::vector<std::string> reasons;  ///< a sentence each; none where it is operational
};

/// "operational" or "degraded".
std::string Text(ApplianceState::Name name);

ApplianceState JudgeState(const AdminDependencies& dependencies);

}  // namespace skms::admin
