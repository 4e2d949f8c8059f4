// What every program that holds a secret does first.
#pragma once

#include "base/result.h"

namespace skms {

/// RLIMIT_CORE 0, and PR_SET_DUMPABLE 0: no core in a file, none to a handler (core_pattern with a pipe heeds
/// no limit), no ptrace and no /proc/PID/mem for its own user. Errors: kIo naming the call.
Status ForbidCoreDumps();

}  // namespace skms
