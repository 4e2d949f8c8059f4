#include "appliance/config/administration.h"

#include <algorithm>
#include <set>
#include <utility>

namespace skms::appliance {
namespace {

constexpr std::size_t kSha256HexDigits = 64;

/// "user:NAME" or "group:NAME"; whether there is such a one the daemon finds at its start.
bool IsRoleMember(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || colon + 1 == text.size()) return false;
  const std::string kind = text.substr(0, colon);
  return (kind == "user" || kind == "group") && text.find('\0') == std::string::npos;
}

/// "NAME:HEX", HEX of a SHA-256 in lower case.
bool IsPerson(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == 0 || colon == std::string::npos || text.find('\0') != std::string::npos) return false;
  const std::string hash = text.substr(colon + 1);
  return hash.size() == kSha256HexDigits && hash.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

void ReadListener(SectionReader& reader, ListenSection& out) {
  reader.Address("address", out.address);
  reader.Number("port", out.port, 0, 65535);
  reader.Path("certificate", out.certificate, true);
  reader.Path("private_key", out.private_key, true);
  reader.Path("ocsp_response", out.ocsp_response);
  reader.Number("max_connections", out.max_connections, 1, 4096);
  reader.Number("keep_alive_ms", out.keep_alive_ms, 1, 60000);
  reader.Number("request_time_ms", out.request_time_ms, 100, 600000);
  reader.Number("answer_time_ms", out.answer_time_ms, 100, 600000);
}

void ReadAdmin(SectionReader& reader, Configuration& out) {
  reader.Path("socket", out.admin.socket);
  reader.Text("group", out.admin.group);
}

void ReadListenAdmin(SectionReader& reader, Configuration& out) {
  ListenAdminSection& section = out.listen_admin;
  section.present = reader.present();
  if (!section.present) return;
  section.listen.port = 8445;
  section.listen.max_connections = 8;
  ReadListener(reader, section.listen);
  if (section.listen.port == 0) reader.Fail("port", "must be 1 to 65535: administrators must know it");
  reader.Path("client_ca", section.listen.client_ca, true);
  reader.Path("crl", section.listen.crl);
  reader.Texts("persons", section.persons, kMaxRoleMembers);
  if (section.persons.empty() || !std::all_of(section.persons.begin(), section.persons.end(), IsPerson))
    reader.Fail("persons",
                "must be a list of at least one NAME:HEX: a user of this host, and the SHA-256 of the key of "
                "a certificate (64 digits, lower case)");
  std::set<std::string> keys;
  for (const std::string& person : section.persons) {
    if (!keys.insert(person.substr(person.find(':') + 1)).second)
      reader.Fail("persons", "names one key twice; it is one person's");
  }
}

void ReadRoles(SectionReader& reader, Configuration& out) {
  RolesSection& roles = out.roles;
  roles.present = reader.present();
  for (const auto& [key, members] :
       {std::pair("admin", &roles.admin), std::pair("operator", &roles.operators),
        std::pair("backup", &roles.backup), std::pair("auditor", &roles.auditor),
        std::pair("officer", &roles.officer)}) {
    reader.Texts(key, *members, kMaxRoleMembers);
    if (!std::all_of(members->begin(), members->end(), IsRoleMember))
      reader.Fail(key, "must be a list, each item user:NAME or group:NAME");
  }
}

void ReadApprovals(SectionReader& reader, Configuration& out) {
  static const std::vector<std::string> kKinds = {"destroy", "restore", "kek", "strict-recipient",
                                                  "audit-key"};
  ApprovalsSection& approvals = out.approvals;
  if (out.roles.present) approvals.required = kKinds;
  reader.Texts("required", approvals.required, kKinds.size());
  for (const std::string& kind : approvals.required) {
    if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end())
      reader.Fail("required",
                  "knows no '" + kind + "'; known: destroy, restore, kek, strict-recipient, audit-key");
  }
  reader.Number("quorum", approvals.quorum, 2, 10);
  reader.Number("expires_s", approvals.expires_s, 60, 2592000);
}

Status CheckAdministration(const Configuration& configuration) {
  if (configuration.roles.present && configuration.roles.admin.empty())
    return ConfigurationError(configuration.path +
                              ": 'roles.admin' must name somebody, or nobody could administer this server");
  if (!configuration.listen_admin.listen.ocsp_response.empty())
    return ConfigurationError(configuration.path +
                              ": 'listen_admin.ocsp_response': this process staples none");
  return Ok();
}

}  // namespace skms::appliance
