// Runs another program and hears what it says. No shell, nothing on its standard input.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace skms::provisioning {

struct ProgramSaid {
  int exit_code = 0;  ///< -1: a signal ended it
  std::string text;   ///< both outputs, the first 8 KiB
};

/// `command`: its path, then its arguments; none of them secret. Waits for its end. Errors: kIo (it cannot be
/// run).
Result<ProgramSaid> RunProgram(std::vector<std::string> command);

}  // namespace skms::provisioning
