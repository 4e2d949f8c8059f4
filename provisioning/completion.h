// The bash completion script, made from the command table, so that it cannot drift from the commands.
#pragma once

#include <string>

namespace skms::provisioning {

std::string BashCompletion();

}  // namespace skms::provisioning
