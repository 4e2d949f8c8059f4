// skmc provision: store a payload (TS 33.434 5.8). skmc discover: what the server says of itself.
#pragma once

namespace skms::client {

/// Exit codes: client/cli/command.h.
int RunProvision(int argc, const char* const* argv);
int RunDiscover(int argc, const char* const* argv);

}  // namespace skms::client
