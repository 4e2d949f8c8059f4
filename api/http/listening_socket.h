// Listening sockets with a real backlog and without SO_REUSEPORT, under which a second process would silently
// share our connections.
//
// A returned descriptor belongs to the caller.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace skms::http {

/// `address` is an IPv4 or IPv6 literal. Errors: kConfiguration (not an address), kIo (in use, not ours).
Result<int> ListenOnTcp(const std::string& address, int port);
/// The port a TCP socket is bound to; 0 for others.
int BoundPort(int fd);

/// Replaces a stale socket file, refuses a live one. `mode` and `group` hold before anybody can connect.
/// Errors: kConfiguration (too long a path, not a socket, a group this process may not give), kIo.
Result<int> ListenOnUnix(const std::string& path, unsigned mode, std::optional<gid_t> group);

}  // namespace skms::http
