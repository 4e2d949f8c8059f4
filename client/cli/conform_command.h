// skmc conform: the published conformance cases against any server that claims these APIs.
#pragma once

namespace skms::client {

/// Exit codes: 0 nothing failed; 1 a case failed; 2 usage; 3 a file; 4 the server cannot be reached at all.
int RunConform(int argc, const char* const* argv);

}  // namespace skms::client
