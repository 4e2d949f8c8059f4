#include "provisioning/remote_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include "base/api_root.h"
#include "base/x509_file.h"

namespace skms::provisioning {
namespace {

Result<HostAndPort> ReadUrl(const std::string& url) {
  const Error wrong = InvalidArgument("--url must be https://host[:port], as in https://skms.example:8445");
  if (!IsApiRoot(url)) return wrong;
  const ApiRootParts parts = SplitApiRoot(url);
  if (!parts.prefix.empty()) return wrong;
  HostAndPort out;
  out.host = parts.authority;
  const std::size_t colon = parts.authority.rfind(':');
  if (colon != std::string::npos && parts.authority.find(']', colon) == std::string::npos) {
    const std::string port = parts.authority.substr(colon + 1);
    const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (failed != std::errc() || end != port.data() + port.size() || out.port < 1 || out.port > 65535)
      return wrong;
    out.host = parts.authority.substr(0, colon);
  }
  if (out.host.size() > 2 && out.host.front() == '[') out.host = out.host.substr(1, out.host.size() - 2);
  return out;
}

/// Told before the connection is tried: TLS libraries say little of it.
Status CheckFiles(const RemoteServer& server) {
  if (server.certificate.empty() || server.key.empty())
    return InvalidArgument("--url needs --cert FILE and --key FILE");
  struct stat seen {};
  if (::stat(server.key.c_str(), &seen) != 0) return IoError(server.key, errno);
  if ((seen.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return InvalidArgument(server.key +
                           ": others may read or write this key; chmod 0600 it, or make a new one");
  SKMS_TRYV(ReadCertificateDates(server.certificate));
  if (!server.ca.empty()) SKMS_TRYV(ReadCertificateDates(server.ca));
  return Ok();
}

}  // namespace

Result<HostAndPort> CheckRemote(const RemoteServer& server) {
  SKMS_TRY(HostAndPort where, ReadUrl(server.url));
  SKMS_TRYV(CheckFiles(server));
  return where;
}

}  // namespace skms::provisioning
