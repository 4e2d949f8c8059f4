// What the process does to itself before it touches a PIN: no core dumps, no ptrace by its own user, private
// files, no death by a broken pipe.
//
// Called once, first thing in main, before any thread.
#pragma once

#include "base/result.h"

namespace skms::appliance {

/// RLIMIT_CORE 0, PR_SET_DUMPABLE 0, PR_SET_NO_NEW_PRIVS, umask 0077, SIGPIPE and SIGXFSZ ignored. Errors:
/// kIo naming the call.
Status HardenProcess();

}  // namespace skms::appliance
