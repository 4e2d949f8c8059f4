// The commands of skmc in one table, which help, man page and completion read.
#pragma once

#include <span>

#include "base/manual/program.h"
#include "client/cli/command.h"

namespace skms::client {

std::span<const Command> Commands();

/// Every row of the table, with what is the same for all.
manual::Program Manual();

/// Of skmc --help.
std::string OverviewHelp();

}  // namespace skms::client
