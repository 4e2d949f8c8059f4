// skmc get: fetch a key, open it, print or write it.
#pragma once

namespace skms::client {

/// Exit codes: 0 ok; 1 the server refused; 2 usage; 3 a file; 4 network or TLS; 5 the key cannot be opened.
int RunGet(int argc, const char* const* argv);

}  // namespace skms::client
