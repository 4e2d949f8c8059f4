// What skmsd says of itself: --help, the man page and the completion scripts.
#pragma once

#include <string>

#include "base/manual/program.h"

namespace skms::appliance {

/// How skmsd ends; the texts stand in manual.cpp. After kExitPin it is not started again: the PIN was tried
/// once.
enum ExitCode {
  kExitStopped = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitConfiguration = 3,
  kExitToken = 5,
  kExitPin = 6,
};

manual::Program Manual();

std::string Help();

}  // namespace skms::appliance
