// skmc get, skmc request: fetch keys and payloads, over KM-S or over KM-UU; open them, print or write them.
#pragma once

#include "client/cli/command.h"

namespace skms::client {

/// KM-S (TS 29.549 7.6.1). Exit codes: client/cli/command.h.
void DescribeGet(Options& options);
int RunGet(const Given& given);

/// KM-UU (TS 33.434 5.3).
void DescribeRequest(Options& options);
int RunRequest(const Given& given);

}  // namespace skms::client
