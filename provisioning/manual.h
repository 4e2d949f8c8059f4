// What skmsctl says of itself: the man page and the completion scripts are made from it, and --help reads it
// too.
#pragma once

#include "base/manual/program.h"

namespace skms::provisioning {

/// Every row of the command table, with what is the same for all.
manual::Program Manual();

}  // namespace skms::provisioning
