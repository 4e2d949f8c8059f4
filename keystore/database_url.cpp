#include "keystore/database_url.h"

#include <libpq-fe.h>

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
  return host.empty() || host.front() == '/' || host.front() == '@' || host == "localhost" ||
         host.rfind("127.", 0) == 0 || host == "::1";
}

}  // namespace

Status CheckPostgresqlUrl(const std::string& url) {
  SKMS_TRY(auto said, Parse(url));
  if (said.count("password") > 0)
    return InvalidArgument(
        "holds a password; put it into a file of mode 0600 (libpq's: host:port:database:user:password) and "
        "name that with passfile=, or use a client certificate with sslcert= and sslkey=");
  if (said.count("service") > 0)
    return InvalidArgument("names a service of libpq, which could be anything; say here what it says");
  if (said["dbname"].empty()) return InvalidArgument("names no database: postgresql://host/name");
  for (const char* name : {"host", "hostaddr"}) {
    for (const std::string& host : Split(said[name])) {
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
  if (parsed.has_error()) return url;
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
  std::string out = url;
  for (const auto& [name, value] : kDefaults) {
    if (said.count(name) > 0) continue;
    out += out.find('?') == std::string::npos ? '?' : '&';
    out += name;
    out += '=';
    out += value;
  }
  return out;
}

}  // namespace skms::keystore
