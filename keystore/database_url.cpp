#include "keystore/database_url.h"

#include <arpa/inet.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

namespace skms::keystore {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
struct FreeText {
  void operator()(char* text) const { PQfreemem(text); }
};

/// What the URL says; kInvalidArgument.
Result<std::map<std::string, std::string>> Parse(const std::string& url) {
  if (url.rfind("postgresql://", 0) != 0 && url.rfind("postgres://", 0) != 0)
    return InvalidArgument("must begin with postgresql://");
  char* wrong = nullptr;
  const std::unique_ptr<PQconninfoOption, FreeOptions> options(PQconninfoParse(url.c_str(), &wrong));
  const std::unique_ptr<char, FreeText> words(wrong);
  // libpq's words quote the URL, and with it a password that may stand in it.
  if (!options)
    return InvalidArgument("is no URL that libpq reads: postgresql://user@host:port/name?key=value");
  std::map<std::string, std::string> said;
  for (const PQconninfoOption* one = options.get(); one->keyword != nullptr; ++one) {
    if (one->val != nullptr) said[one->keyword] = one->val;
  }
  return said;
}

std::vector<std::string> Split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

/// A socket of this host, or its loopback.
bool IsHere(const std::string& host) {
  if (host.empty() || host.front() == '/' || host.front() == '@' || host == "localhost" || host == "::1")
    return true;
  in_addr address{};
  constexpr std::uint32_t kLoopback = 127;
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == kLoopback;
}

// What can be said in a URL. What libpq reads besides would hold a secret, weaken what is checked here, or
// is not for a server's connections.
constexpr std::array<const char*, 28> kParameters{"host",
                                                  "hostaddr",
                                                  "port",
                                                  "dbname",
                                                  "user",
                                                  "passfile",
                                                  "sslmode",
                                                  "sslrootcert",
                                                  "sslcert",
                                                  "sslkey",
                                                  "sslcrl",
                                                  "sslcrldir",
                                                  "sslsni",
                                                  "ssl_min_protocol_version",
                                                  "ssl_max_protocol_version",
                                                  "channel_binding",
                                                  "requirepeer",
                                                  "krbsrvname",
                                                  "gssencmode",
                                                  "options",
                                                  "application_name",
                                                  "target_session_attrs",
                                                  "connect_timeout",
                                                  "keepalives_idle",
                                                  "keepalives_interval",
                                                  "keepalives_count",
                                                  "tcp_user_timeout",
                                                  "client_encoding"};
// 0 would switch them off.
constexpr std::array<const char*, 5> kLimits{"connect_timeout", "keepalives_idle", "keepalives_interval",
                                             "keepalives_count", "tcp_user_timeout"};

bool IsNumber(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos &&
         text.find_first_not_of('0') != std::string::npos;
}

Status CheckParameters(const std::map<std::string, std::string>& said) {
  for (const auto& [name, value] : said) {
    if (name == "password")
      return InvalidArgument(
          "holds a password; put it into a file of mode 0600 (libpq's: host:port:database:user:password) and "
          "name that with passfile=, or use a client certificate with sslcert= and sslkey=");
    if (std::find(kParameters.begin(), kParameters.end(), name) == kParameters.end())
      return InvalidArgument("has parameter " + name +
                             ", which is not taken; docs/postgresql.md has those that are");
    if (std::find(kLimits.begin(), kLimits.end(), name) != kLimits.end() && !IsNumber(value))
      return InvalidArgument("must have a number above 0 for " + name);
    if (name == "connect_timeout" && value.size() > 2)
      return InvalidArgument("must have a connect_timeout below 100 seconds");
  }
  return Ok();
}

/// What libpq takes where the URL says nothing, and would lead elsewhere than the URL seems to.
constexpr std::array<const char*, 13> kEnvironment{"PGHOST",
                                                   "PGHOSTADDR",
                                                   "PGPORT",
                                                   "PGDATABASE",
                                                   "PGSERVICE",
                                                   "PGSERVICEFILE",
                                                   "PGSYSCONFDIR",
                                                   "PGPASSWORD",
                                                   "PGSSLMODE",
                                                   "PGREQUIRESSL",
                                                   "PGGSSENCMODE",
                                                   "PGOPTIONS",
                                                   "PGTARGETSESSIONATTRS"};

std::string Quoted(const std::string& value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

}  // namespace

Status CheckPostgresqlUrl(const std::string& url) {
  SKMS_TRY(auto said, Parse(url));
  SKMS_TRYV(CheckParameters(said));
  const std::string& name = said["dbname"];
  if (name.empty()) return InvalidArgument("names no database: postgresql://host/name");
  // A password with a slash in it has been taken for it.
  if (name.find_first_of("/@:?&") != std::string::npos)
    return InvalidArgument("names a database with a character that a URL is made of");
  for (const std::string& port : Split(said["port"])) {
    if (!port.empty() && !IsNumber(port)) return InvalidArgument("has a port that is no number");
  }
  for (const char* member : {"host", "hostaddr"}) {
    for (const std::string& host : Split(said[member])) {
      if (!IsHere(host) && said["sslmode"] != "verify-full")
        return InvalidArgument("leads to " + host +
                               ", and whoever is between could be the server: add sslmode=verify-full and "
                               "sslrootcert=");
    }
  }
  if (const std::string& wanted = said["target_session_attrs"];
      !wanted.empty() && wanted != "read-write" && wanted != "primary")
    return InvalidArgument("must have target_session_attrs=read-write, which is the default");
  return Ok();
}

Status CheckPostgresqlEnvironment() {
  for (const char* name : kEnvironment) {
    if (std::getenv(name) != nullptr)  // NOLINT(concurrency-mt-unsafe): nobody sets any
      return ConfigurationError(
          std::string(name) + " is set in the environment, and would say what store.url is to say; unset it");
  }
  return Ok();
}

std::string PostgresqlName(const std::string& url) {
  auto parsed = Parse(url);
  if (parsed.has_error()) return "postgresql";
  auto& said = parsed.value();
  const std::vector<std::string> hosts = Split(said["host"].empty() ? said["hostaddr"] : said["host"]);
  const std::vector<std::string> ports = Split(said["port"]);
  std::string name = "postgresql://";
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    if (i > 0) name += ',';
    name += hosts[i];
    const std::size_t port = ports.size() == 1 ? 0 : i;
    if (port < ports.size()) name += ':' + ports[port];
  }
  return name + '/' + said["dbname"];
}

std::string PostgresqlConnection(const std::string& url) {
  auto parsed = Parse(url);
  if (parsed.has_error()) return "";
  auto& said = parsed.value();
  constexpr const char* kDefaults[][2] = {
      {"target_session_attrs", "read-write"},
      {"connect_timeout", "2"},
      {"application_name", "skms"},
      {"tcp_user_timeout", "5000"},
      {"keepalives_idle", "5"},
      {"keepalives_interval", "2"},
      {"keepalives_count", "2"},
  };
  for (const auto& [name, value] : kDefaults) said.try_emplace(name, value);
  std::string out;
  for (const auto& [name, value] : said) {
    if (!out.empty()) out += ' ';
    out += name + '=' + Quoted(value);
  }
  return out;
}

}  // namespace skms::keystore
