// Runs another program, or a part of this one aside, and hears what it says. No shell, nothing on its
// standard input. For a process of one thread.
#pragma once

#include <chrono>
#include <functional>
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

/// What `work` returns, in a process of its own that ends then, without its destructors; empty where a signal
/// ended it. Errors: kResourceExhausted (it took longer than `most`, and was killed), kIo.
Result<std::string> RunAside(const std::function<std::string()>& work, std::chrono::seconds most);

}  // namespace skms::provisioning
