#include "appliance/config/configuration.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "appliance/config/administration.h"
#include "appliance/config/section_reader.h"
#include "base/api_root.h"
#include "base/file.h"
#include "keystore/database_url.h"

namespace skms::appliance {
namespace {

constexpr std::size_t kMaxConfigurationBytes = std::size_t{256} * 1024;

void ReadSkms(SectionReader& reader, Configuration& out) {
  reader.Text("id", out.skms.id);
  reader.Text("uri", out.skms.uri);
  reader.ApiRoots("also_known_as", out.skms.also_known_as, kMaxAlsoKnownAs);
}

void ReadTokenSection(SectionReader& reader, TokenSection& out) {
  reader.Path("module", out.module);
  reader.Text("init_args", out.init_args);
  reader.Text("label", out.label, true);
  reader.Text("serial", out.serial);
  reader.Number("max_sessions", out.max_sessions, 1, 1024);
  reader.Number("session_wait_ms", out.session_wait_ms, 1, 60000);
  reader.OneOf("profile", out.profile, {"lab", "standard", "strict"});
  reader.Flag("refuse_sha1_oaep", out.refuse_sha1_oaep);
}

/// Where its PIN comes from.
void ReadPinSource(SectionReader& reader, TokenSection& out, bool one_of_several) {
  reader.Flag("attended", out.attended);
  // A systemd credential has one name.
  reader.Path("pin_file", out.pin_file, one_of_several && !out.attended);
  if (out.attended && !out.pin_file.empty())
    reader.Fail("attended", "is true beside a pin_file; an administrator gives the PIN, or a file does");
}

void ReadToken(SectionReader& reader, Configuration& out) {
  if (!out.tokens.empty()) return;
  ReadTokenSection(reader, out.token);
  ReadPinSource(reader, out.token, false);
}

/// `tokens` is the one section that is a list.
Status ReadTokens(const std::string& path, const YAML::Node& root, Configuration& out) {
  const YAML::Node list = root["tokens"];
  if (!list) return Ok();
  if (root["token"]) {
    return ConfigurationErrorAt(path, list.Mark(),
                                "'token' and 'tokens' stand side by side; put the one token into the list");
  }
  if (!list.IsSequence() || list.size() == 0 || list.size() > kMaxTokens) {
    return ConfigurationErrorAt(path, list.Mark(),
                                "'tokens' is a list of 1 to " + std::to_string(kMaxTokens) +
                                    " tokens, each like section 'token' with a pin_file and a weight");
  }
  for (const auto& node : list) {
    if (!node.IsMap()) return ConfigurationErrorAt(path, node.Mark(), "a token of 'tokens' is a mapping");
    TokenSection token;
    SectionReader reader(path, "tokens", node);
    ReadTokenSection(reader, token);
    ReadPinSource(reader, token, true);
    reader.Number("weight", token.weight, 0, 100);
    SKMS_TRYV(reader.Finish());
    for (const TokenSection& other : out.tokens) {
      if (other.label == token.label)
        return ConfigurationErrorAt(path, node.Mark(), "two tokens are labelled '" + token.label + "'");
    }
    out.tokens.push_back(std::move(token));
  }
  out.token = out.tokens.front();
  return Ok();
}

void ReadStore(SectionReader& reader, Configuration& out) {
  reader.Path("path", out.store.path);
  reader.Text("url", out.store.url);
  reader.Flag("shared", out.store.shared);
  reader.Text("server", out.store.server);
  reader.Number("answer_cache_bytes", out.store.answer_cache_bytes, 0, 1U << 30U);
}

void ReadListen(SectionReader& reader, Configuration& out) {
  reader.OneOf("mode", out.listen.mode, {"direct", "edge"});
  ReadListener(reader, out.listen);
  reader.Path("client_ca", out.listen.client_ca, true);
  reader.Path("crl", out.listen.crl);
}

void ReadListenUe(SectionReader& reader, Configuration& out) {
  out.listen_ue.present = reader.present();
  if (!out.listen_ue.present) return;
  out.listen_ue.listen.port = 8444;
  reader.Text("uri", out.listen_ue.uri, true);
  reader.ApiRoots("also_known_as", out.listen_ue.also_known_as, kMaxAlsoKnownAs);
  ReadListener(reader, out.listen_ue.listen);
  reader.Path("client_ca", out.listen_ue.listen.client_ca);
  reader.Path("crl", out.listen_ue.listen.crl);
  reader.Path("trusted_socket", out.listen_ue.trusted_socket);
  reader.Text("trusted_user", out.listen_ue.trusted_user);
}

void ReadEdge(SectionReader& reader, Configuration& out) {
  reader.Text("user", out.edge.user);
  reader.Path("socket", out.edge.socket);
  reader.Path("ue_socket", out.edge.ue_socket);
  reader.Number("max_connections", out.edge.max_connections, 16, 1000000);
  reader.Number("idle_ms", out.edge.idle_ms, 1000, 3600000);
  reader.Number("connections_per_address", out.edge.connections_per_address, 1, 1000000);
  reader.Number("new_connections_per_address", out.edge.new_connections_per_address, 1, 1000000);
  reader.Number("requests_per_address", out.edge.requests_per_address, 1, 1000000);
  reader.Number("concurrent_requests_per_client", out.edge.concurrent_requests_per_client, 1, 1000000);
  reader.OneOf("log", out.edge.log, {"errors", "all"});
  reader.Number("hard_stop_s", out.edge.hard_stop_s, 1, 3600);
}

void ReadLimits(SectionReader& reader, Configuration& out) {
  // cpp-httplib refuses header lines and targets past 8192 bytes by itself; ours must bite first.
  reader.Number("target_bytes", out.limits.target_bytes, 256, 8000);
  reader.Number("header_fields", out.limits.header_fields, 8, 1000);
  reader.Number("header_bytes", out.limits.header_bytes, 1024, 65536);
  reader.Number("body_bytes", out.limits.body_bytes, 1024, 16U << 20U);
  reader.Number("concurrent_requests", out.limits.concurrent_requests, 1, 4096);
  reader.Number("waiting_requests", out.limits.waiting_requests, 0, 65536);
  reader.Number("max_wait_ms", out.limits.max_wait_ms, 0, 60000);
  reader.Real("requests_per_second", out.limits.requests_per_second, 0.01, 1e6);
  reader.Real("burst", out.limits.burst, 1, 1e6);
  reader.Real("refused_per_second", out.limits.refused_per_second, 0.01, 1e6);
  reader.Real("refused_burst", out.limits.refused_burst, 1, 1e6);
  reader.Number("payload_bytes", out.limits.payload_bytes, 1, 8U << 20U);
}

void ReadAccessToken(SectionReader& reader, Configuration& out) {
  reader.Number("leeway_s", out.access_token.leeway_s, 0, 30);
  reader.Number("time_window_s", out.access_token.time_window_s, 1, 300);
  reader.Text("scope_ss_kir", out.access_token.scope_ss_kir, false);
  reader.Text("scope_seal_x1", out.access_token.scope_seal_x1, false);
  reader.Text("scope_skms_events", out.access_token.scope_skms_events, false);
  reader.Text("scope_ss_kpp", out.access_token.scope_ss_kpp, false);
  reader.Text("scope_skm", out.access_token.scope_skm, false);
  reader.Flag("refuse_replays", out.access_token.refuse_replays);
  reader.Number("jwks_new_key_s", out.access_token.jwks_new_key_s, 1, 86400);
  reader.Number("jwks_refresh_s", out.access_token.jwks_refresh_s, 1, 604800);
}

void ReadRotation(SectionReader& reader, Configuration& out) {
  reader.Number("keys_in_a_run", out.rotation.keys_in_a_run, 1, 1000);
  reader.Number("share_percent", out.rotation.share_percent, 1, 100);
  reader.Number("hold_clock_step_s", out.rotation.hold_clock_step_s, 60, 1U << 31U);
}

void ReadRewrap(SectionReader& reader, Configuration& out) {
  reader.Number("rows_per_second", out.rewrap.rows_per_second, 1, 1000000);
  reader.Number("share_percent", out.rewrap.share_percent, 1, 100);
}

void ReadNotify(SectionReader& reader, Configuration& out) {
  reader.Number("time_limit_ms", out.notify.time_limit_ms, 100, 60000);
  reader.Number("first_retry_ms", out.notify.first_retry_ms, 10, 3600000);
  reader.Number("last_retry_ms", out.notify.last_retry_ms, 10, 86400000);
  reader.Number("drop_after_s", out.notify.drop_after_s, 1, 31536000);
}

bool IsSyslogAddress(const std::string& text) {
  constexpr std::string_view kTcp = "tcp://";
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (text.rfind(kTcp, 0) != 0) return plain && text.size() > 1 && text.front() == '/';
  const std::size_t colon = text.rfind(':');
  const std::string port = text.substr(colon + 1);
  return plain && colon > kTcp.size() && !port.empty() && port.size() <= 5 &&
         port.find_first_not_of("0123456789") == std::string::npos;
}

void ReadAudit(SectionReader& reader, Configuration& out) {
  reader.Number("checkpoint_entries", out.audit.checkpoint_entries, 1, 1000000);
  reader.Number("checkpoint_s", out.audit.checkpoint_s, 1, 86400);
  reader.Number("warn_free_mib", out.audit.warn_free_mib, 0, 1000000000);
  reader.OneOf("export", out.audit.export_to, {"off", "file", "syslog", "journald"});
  reader.Path("export_path", out.audit.export_path, out.audit.export_to == "file");
  reader.Text("export_address", out.audit.export_address);
  if (!IsSyslogAddress(out.audit.export_address))
    reader.Fail("export_address", "must be the absolute path of a socket, or tcp://host:port");
  reader.Number("export_most_behind", out.audit.export_most_behind, 1, 1000000000);
  // What is not signed yet does not go: less than this would be reached by waiting for the next checkpoint.
  if (out.audit.export_to != "off" && out.audit.export_most_behind < 2 * out.audit.checkpoint_entries)
    reader.Fail("export_most_behind",
                "must be twice 'checkpoint_entries' at least, for what is not signed yet counts, too");
}

void ReadMemory(SectionReader& reader, Configuration& out) {
  reader.OneOf("lock", out.memory.lock, {"wanted", "required", "off"});
}

void ReadLog(SectionReader& reader, Configuration& out) {
  reader.OneOf("level", out.log.level, {"debug", "info", "warn", "error"});
  reader.OneOf("format", out.log.format, {"text", "json"});
}

struct Section {
  const char* name;
  void (*read)(SectionReader&, Configuration&);
};

constexpr Section kSections[] = {
    {"skms", ReadSkms},         {"token", ReadToken},         {"store", ReadStore},
    {"listen", ReadListen},     {"listen_ue", ReadListenUe},  {"edge", ReadEdge},
    {"limits", ReadLimits},     {"admin", ReadAdmin},         {"listen_admin", ReadListenAdmin},
    {"roles", ReadRoles},       {"approvals", ReadApprovals}, {"access_token", ReadAccessToken},
    {"rotation", ReadRotation}, {"rewrap", ReadRewrap},       {"notify", ReadNotify},
    {"audit", ReadAudit},       {"memory", ReadMemory},       {"log", ReadLog},
};

Status CheckSectionNames(const std::string& path, const YAML::Node& root) {
  std::set<std::string> seen;
  for (const auto& entry : root) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    bool known = key == "tokens";
    for (const Section& section : kSections) known = known || key == section.name;
    if (!known) {
      return ConfigurationErrorAt(
          path, entry.first.Mark(),
          "unknown section '" + key +
              "'; known sections: skms, token, tokens, store, listen, listen_ue, edge, limits, "
              "admin, listen_admin, roles, approvals, access_token, rotation, rewrap, notify, audit, memory, "
              "log");
    }
    if (!seen.insert(key).second) {
      return ConfigurationErrorAt(path, entry.first.Mark(), "section '" + key + "' stands twice");
    }
  }
  return Ok();
}

Status CheckUri(const Configuration& configuration, const char* key, const std::string& uri) {
  if (IsApiRoot(uri)) return Ok();
  return ConfigurationError(configuration.path + ": '" + key + "' must be " + kApiRootForm);
}

Status CheckStoreUrl(const Configuration& configuration) {
  if (configuration.store.url.empty()) {
    if (!configuration.store.shared && configuration.store.server.empty()) return Ok();
    return ConfigurationError(configuration.path +
                              ": 'store.shared' and 'store.server' go with 'store.url': a file is one "
                              "server's alone");
  }
  const Status checked = keystore::CheckPostgresqlUrl(configuration.store.url);
  if (checked.has_value()) return Ok();
  return ConfigurationError(configuration.path + ": 'store.url' " + checked.error().detail);
}

/// The export adds lines to its file: it must be no other that this server uses.
Status CheckExportPath(const Configuration& configuration) {
  const std::string& path = configuration.audit.export_path;
  if (path.empty()) return Ok();
  std::vector<std::string> taken{configuration.path};
  for (const char* ending : {"", "-wal", "-shm", "-journal", ".lock"})
    taken.push_back(configuration.store.path + ending);
  for (const TokenSection& token : configuration.tokens) {
    taken.push_back(token.pin_file);
    taken.push_back(token.module);
  }
  for (const ListenSection* listen :
       {&configuration.listen, &configuration.listen_ue.listen, &configuration.listen_admin.listen}) {
    for (const std::string* file :
         {&listen->certificate, &listen->private_key, &listen->client_ca, &listen->crl})
      taken.push_back(*file);
  }
  const auto same = [&path](const std::string& other) {
    std::error_code failed;
    return path == other || std::filesystem::equivalent(path, other, failed);
  };
  if (std::none_of(taken.begin(), taken.end(), same)) return Ok();
  return ConfigurationError(configuration.path +
                            ": 'audit.export_path' is a file that this server uses for something "
                            "else; name one of its own");
}

Status CheckTogether(const Configuration& configuration) {
  SKMS_TRYV(CheckUri(configuration, "skms.uri", configuration.skms.uri));
  SKMS_TRYV(CheckStoreUrl(configuration));
  if (configuration.listen_ue.present)
    SKMS_TRYV(CheckUri(configuration, "listen_ue.uri", configuration.listen_ue.uri));
  if (configuration.listen_ue.trusted_socket.empty() != configuration.listen_ue.trusted_user.empty())
    return ConfigurationError(configuration.path +
                              ": 'listen_ue.trusted_socket' and 'listen_ue.trusted_user' go together");
  if (!BehindEdge(configuration) &&
      !(configuration.listen.ocsp_response.empty() && configuration.listen_ue.listen.ocsp_response.empty()))
    return ConfigurationError(configuration.path +
                              ": 'ocsp_response' needs 'listen.mode: edge': this process staples none");
  if (!configuration.listen_ue.listen.crl.empty() && configuration.listen_ue.listen.client_ca.empty())
    return ConfigurationError(
        configuration.path +
        ": 'listen_ue.crl' needs 'listen_ue.client_ca': without it no certificate is asked for");
  SKMS_TRYV(CheckAdministration(configuration));
  if (configuration.skms.id.empty())
    return ConfigurationError(configuration.path + ": 'skms.id' must not be empty");
  SKMS_TRYV(CheckExportPath(configuration));
  for (const auto& [key, scope] :
       {std::pair("scope_ss_kir", configuration.access_token.scope_ss_kir),
        std::pair("scope_seal_x1", configuration.access_token.scope_seal_x1),
        std::pair("scope_skms_events", configuration.access_token.scope_skms_events),
        std::pair("scope_ss_kpp", configuration.access_token.scope_ss_kpp),
        std::pair("scope_skm", configuration.access_token.scope_skm)}) {
    if (scope.empty())
      return ConfigurationError(configuration.path + ": 'access_token." + key + "' must not be empty");
  }
  return Ok();
}

Result<Configuration> Read(const std::string& path, const std::string& text) {
  const YAML::Node root = YAML::Load(text);
  if (!root.IsMap()) return ConfigurationError(path + ": holds no sections");
  SKMS_TRYV(CheckSectionNames(path, root));
  Configuration configuration;
  configuration.path = path;
  SKMS_TRYV(ReadTokens(path, root, configuration));
  if (root["edge"] &&
      (!root["listen"] || !root["listen"]["mode"] || root["listen"]["mode"].Scalar() != "edge"))
    return ConfigurationErrorAt(path, root["edge"].Mark(),
                                "section 'edge' counts with 'listen.mode: edge' alone");
  for (const Section& section : kSections) {
    const YAML::Node node = root[section.name];
    SectionReader reader(path, section.name, node);
    section.read(reader, configuration);
    SKMS_TRYV(reader.Finish());
  }
  if (configuration.tokens.empty()) configuration.tokens.push_back(configuration.token);
  SKMS_TRYV(CheckTogether(configuration));
  return configuration;
}

}  // namespace

Result<TokenSection> FindToken(const Configuration& configuration, const std::string& label) {
  if (label.empty() && configuration.tokens.size() == 1) return configuration.tokens.front();
  std::string labels;
  for (const TokenSection& token : configuration.tokens) {
    if (token.label == label) return token;
    labels += (labels.empty() ? "" : ", ") + token.label;
  }
  return InvalidArgument((label.empty() ? "there are several tokens; say which"
                                        : "there is no token '" + label + "' in the configuration") +
                         std::string(": ") + labels);
}

Result<Configuration> LoadConfiguration(const std::string& path) {
  SKMS_TRY(std::string text, ReadFile(path, kMaxConfigurationBytes));
  try {
    return Read(path, text);
  } catch (const YAML::Exception& exception) {
    return ConfigurationErrorAt(path, exception.mark, exception.msg);
  }
}

}  // namespace skms::appliance
