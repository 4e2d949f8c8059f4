// skmc conform: the published conformance cases against any server that claims these APIs.
#pragma once

#include "client/cli/command.h"

namespace skms::client {

void DescribeConform(Options& options);
/// Exit codes: 0 nothing failed; 1 a case failed; 2 usage; 3 a file; 4 the server cannot be reached at all.
int RunConform(const Given& given);

}  // namespace skms::client
