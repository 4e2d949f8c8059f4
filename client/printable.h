// What a server said, for a terminal: nobody at the other end moves the cursor or begins a line of ours.
#pragma once

#include <string>

namespace skms::client {

/// Control characters (C0, DEL, C1) and broken UTF-8 become '?'. Pure; thread-safe.
std::string Printable(std::string text);

}  // namespace skms::client
