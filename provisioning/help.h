// The texts of --help, at each level. They read the command table, so that they cannot leave one out.
#pragma once

#include <string>

#include "provisioning/command.h"

namespace skms::provisioning {

std::string OverviewHelp();
/// Commands of one group with an example; empty when there is no such group.
std::string GroupHelp(const std::string& group);
std::string CommandHelp(const Command& command);

}  // namespace skms::provisioning
