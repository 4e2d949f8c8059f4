// HAProxy's configuration for the edge: TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2, idle and slow clients, rates
// and sizes, before a daemon that listens on a unix socket (docs/edge.md). For HAProxy 2.6 and later.
//
// Pure; thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "appliance/config/configuration.h"
#include "base/result.h"
#include "provisioning/command.h"

namespace skms::provisioning {

/// Files of one directory, by their names in it. They refer to each other by these names alone, so that the
/// directory may lie anywhere.
struct EdgeFiles {
  std::vector<std::pair<std::string, std::string>> texts;  ///< name, contents; HAProxy's own last
  std::vector<std::pair<std::string, std::string>> links;  ///< name, what it points to
};

inline constexpr const char* kHaproxyFile = "haproxy.cfg";
inline constexpr const char* kEdgeDirectory = "/etc/skms/edge";
inline constexpr const char* kHaproxy = "/usr/sbin/haproxy";

/// HAProxy reads what lies elsewhere by whole paths. Errors: as Session::LoadConfiguration.
Result<appliance::Configuration> LoadWithWholePaths(Session session);

/// Errors: kConfiguration (`listen.mode` is not edge; listeners that share a port and differ in what a port
/// has once; a path that HAProxy's configuration cannot hold).
Result<EdgeFiles> MakeEdgeFiles(const appliance::Configuration& configuration);

}  // namespace skms::provisioning
