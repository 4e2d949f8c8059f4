// What the process does to itself before it touches a PIN: no core dumps, no ptrace by its own user, private
// files, no death by a broken pipe, memory that is not swapped out.
//
// Called in main, before any thread.
#pragma once

#include "base/result.h"

namespace skms::appliance {

/// ForbidCoreDumps, PR_SET_NO_NEW_PRIVS, umask 0077, SIGPIPE and SIGXFSZ ignored. First thing in main.
/// Errors: kIo naming the call.
Status HardenProcess();

/// Keeps all memory that the process uses, now and later, out of swap space; pages count once they are used,
/// so that thread stacks cost no more than before. Errors: kConfiguration: RLIMIT_MEMLOCK is finite, and
/// holds for this process. Then nothing is locked: past the limit it would get no memory and no thread. kIo
/// naming the call.
Status LockMemory();

}  // namespace skms::appliance
