// A server on another host: its administrators' TLS port (section listen_admin), and who asks there.
//
// Plain values; thread-safe. The key never leaves its file but for the handshake (admin_client.h).
#pragma once

#include <string>

#include "base/result.h"

namespace skms::provisioning {

struct RemoteServer {
  std::string url;          ///< "https://host[:port]"; port 8445 unless given
  std::string certificate;  ///< PEM file, leaf first
  std::string key;          ///< PEM file that others cannot read; its passphrase is asked for at the terminal
  std::string ca;           ///< PEM bundle that the server's certificate is verified by; empty: the host's
};

struct HostAndPort {
  std::string host;  ///< without the brackets of an IPv6 address
  int port = 8445;
};

/// Errors: kInvalidArgument (no such url, a name is missing, others can read the key), kIo or kConfiguration
/// (a file cannot be read, or holds nothing of the kind).
Result<HostAndPort> CheckRemote(const RemoteServer& server);

}  // namespace skms::provisioning
