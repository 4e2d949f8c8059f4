// skmc get, skmc request: fetch keys and payloads, over KM-S or over KM-UU; open them, print or write them.
#pragma once

namespace skms::client {

/// KM-S (TS 29.549 7.6.1). Exit codes: client/cli/command.h.
int RunGet(int argc, const char* const* argv);

/// KM-UU (TS 33.434 5.3).
int RunRequest(int argc, const char* const* argv);

}  // namespace skms::client
