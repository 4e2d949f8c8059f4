// skmc provision: store a payload (TS 33.434 5.8). skmc discover: what the server says of itself.
#pragma once

#include "client/cli/command.h"

namespace skms::client {

/// Exit codes: client/cli/command.h.
void DescribeProvision(Options& options);
int RunProvision(const Given& given);
void DescribeDiscover(Options& options);
int RunDiscover(const Given& given);

}  // namespace skms::client
