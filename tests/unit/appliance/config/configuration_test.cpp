#include "appliance/config/configuration.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/temporary_directory.h"

namespace skms::appliance {
namespace {

constexpr const char* kMinimal =
    "token:\n"
    "  label: skms\n"
    "listen:\n"
    "  certificate: tls/server.pem\n"
    "  private_key: tls/server.key\n"
    "  client_ca: /etc/ca.pem\n";

class ConfigurationFile {
 public:
  explicit ConfigurationFile(const std::string& text) : path_(directory_.File("skms.yaml")) {
    std::ofstream(path_) << text;
  }
  std::string path() const { return path_; }
  std::string directory() const { return directory_.path(); }
  Result<Configuration> Load() const { return LoadConfiguration(path_); }
  /// The error's text after the file name.
  std::string Complaint() const {
    const auto loaded = Load();
    REQUIRE(loaded.has_error());
    CHECK(loaded.error().code == ErrorCode::kConfiguration);
    const std::string& detail = loaded.error().detail;
    REQUIRE(detail.rfind(path_, 0) == 0);
    return detail.substr(path_.size());
  }

 private:
  test::TemporaryDirectory directory_;
  std::string path_;
};

TEST_CASE("a minimal file gets every default and paths from its own directory") {
  const ConfigurationFile file(kMinimal);
  const auto loaded = file.Load();
  REQUIRE(loaded.has_value());
  const Configuration& configuration = loaded.value();
  CHECK(configuration.listen.certificate == file.directory() + "/tls/server.pem");
  CHECK(configuration.listen.client_ca == "/etc/ca.pem");
  CHECK(configuration.listen.port == 8443);
  CHECK(configuration.token.max_sessions == 8);
  CHECK(configuration.access_token.leeway_s == 30);
  CHECK(configuration.admin.socket == "/run/skms/admin.sock");
}

TEST_CASE("the profile of the token is standard unless said, and must be one that exists") {
  const std::string rest = std::string(kMinimal).substr(std::string("token:\n").size());
  CHECK(ConfigurationFile(kMinimal).Load().value().token.profile == "standard");
  const ConfigurationFile strict("token:\n  profile: strict\n" + rest);
  CHECK(strict.Load().value().token.profile == "strict");
  CHECK(ConfigurationFile("token:\n  profile: relaxed\n" + rest).Complaint().find("token.profile") !=
        std::string::npos);
}

TEST_CASE("a parameter string for the module is taken as it stands") {
  const std::string args =
      "configdir='sql:/var/lib/skms/nss' secmod='secmod.db' flags= dbTokenDescription='skms'";
  const ConfigurationFile file("token:\n  init_args: " + args + "\n  label: skms\n" +
                               std::string(kMinimal).substr(std::string("token:\n  label: skms\n").size()));
  const auto loaded = file.Load();
  REQUIRE(loaded.has_value());
  CHECK(loaded.value().token.init_args == args);
}

TEST_CASE("an unknown key is refused with line, column and a suggestion") {
  const ConfigurationFile file(std::string(kMinimal) + "  prot: 9\n");
  CHECK(file.Complaint() == ":7:3: unknown key 'prot' in 'listen'; did you mean 'port'?");
}

TEST_CASE("an unknown section is refused and the known ones are named") {
  const ConfigurationFile file(std::string(kMinimal) + "lissten: {}\n");
  CHECK(file.Complaint().find(":7:1: unknown section 'lissten'; known sections: skms, token") == 0);
}

TEST_CASE("a value out of range, of the wrong type or doubled is refused where it stands") {
  CHECK(ConfigurationFile(std::string(kMinimal) + "  port: 70000\n").Complaint() ==
        ":7:9: 'listen.port' must be a whole number from 0 to 65535");
  CHECK(ConfigurationFile(std::string(kMinimal) + "  port: -1\n").Complaint().find(":7:9:") == 0);
  CHECK(ConfigurationFile(std::string(kMinimal) + "  port: [1]\n").Complaint() ==
        ":7:9: 'listen.port' must be a single value");
  CHECK(ConfigurationFile(std::string(kMinimal) + "  mode: edgy\n").Complaint() ==
        ":7:9: 'listen.mode' must be direct or edge");
  CHECK(ConfigurationFile(std::string(kMinimal) + "  port: 1\n  port: 2\n").Complaint() ==
        ":8:3: 'listen.port' stands twice");
  CHECK(ConfigurationFile(std::string(kMinimal) + "token:\n  label: other\n").Complaint() ==
        ":7:1: section 'token' stands twice");
  CHECK(ConfigurationFile(std::string(kMinimal) + "access_token:\n  leeway_s: 31\n")
            .Complaint()
            .find(":8:13:") == 0);
  CHECK(ConfigurationFile(std::string(kMinimal) + "limits:\n  burst: nan\n").Complaint().find(":8:10:") == 0);
}

TEST_CASE("an address to listen on is an address, so that nothing else comes into HAProxy's configuration") {
  for (const char* address : {"0.0.0.0", "'::1'", "'::ffff:10.0.0.1'"})
    CHECK(ConfigurationFile(std::string(kMinimal) + "  address: " + address + "\n").Load().has_value());
  for (const char* address : {"localhost", "'127.0.0.1 ssl'", "'127.0.0.1\n\n    stats socket /tmp/s'",
                              "'::1]'", "''", "\"127.0.0.1\\0x\""}) {
    CAPTURE(address);
    CHECK(ConfigurationFile(std::string(kMinimal) + "  address: " + address + "\n")
              .Complaint()
              .find("'listen.address' must be an IPv4 or IPv6 address") != std::string::npos);
  }
}

TEST_CASE("memory is locked where it can be unless the file says otherwise") {
  CHECK(ConfigurationFile(kMinimal).Load().value().memory.lock == "wanted");
  CHECK(ConfigurationFile(std::string(kMinimal) + "memory: {lock: required}\n").Load().value().memory.lock ==
        "required");
  CHECK(ConfigurationFile(std::string(kMinimal) + "memory: {lock: always}\n")
            .Complaint()
            .find("'memory.lock' must be wanted or required or off") != std::string::npos);
}

TEST_CASE("what must be there and is not is named") {
  CHECK(ConfigurationFile("listen: {certificate: a, private_key: b, client_ca: c}\n").Complaint() ==
        ": 'token.label' is missing");
  CHECK(ConfigurationFile("token: {label: x}\n").Complaint() == ": 'listen.certificate' is missing");
  CHECK(ConfigurationFile(std::string(kMinimal) + "skms: {uri: 'http://x'}\n")
            .Complaint()
            .find(": 'skms.uri' must be") == 0);
}

TEST_CASE("a trusted socket and the user it is for go together") {
  const std::string ue = "listen_ue: {uri: 'https://u', certificate: a, private_key: b, ";
  const auto both =
      ConfigurationFile(std::string(kMinimal) + ue + "trusted_socket: /run/u.sock, trusted_user: proxy}\n")
          .Load();
  REQUIRE(both.has_value());
  CHECK(both.value().listen_ue.trusted_socket == "/run/u.sock");
  CHECK(both.value().listen_ue.trusted_user == "proxy");
  for (const char* one : {"trusted_socket: /run/u.sock}\n", "trusted_user: proxy}\n"}) {
    CHECK(ConfigurationFile(std::string(kMinimal) + ue + one).Complaint().find("go together") !=
          std::string::npos);
  }
}

TEST_CASE("other names of this server are none unless listed, and each is an apiRoot") {
  const std::string ue = "listen_ue: {uri: 'https://u', certificate: a, private_key: b, also_known_as: ";
  const auto none = ConfigurationFile(kMinimal).Load();
  CHECK(none.value().skms.also_known_as.empty());
  CHECK(none.value().listen_ue.also_known_as.empty());

  const auto loaded = ConfigurationFile(std::string(kMinimal) + ue + "['https://c:8444/x']}\n" +
                                        "skms:\n  also_known_as:\n    - https://a\n    - https://b:1\n")
                          .Load();
  REQUIRE(loaded.has_value());
  CHECK(loaded.value().skms.also_known_as == std::vector<std::string>{"https://a", "https://b:1"});
  CHECK(loaded.value().listen_ue.also_known_as == std::vector<std::string>{"https://c:8444/x"});
  CHECK(ConfigurationFile(std::string(kMinimal) + "skms: {also_known_as: []}\n").Load().has_value());

  const std::string rule = "'skms.also_known_as' must be a list, each item https://host[:port][/prefix]";
  for (const char* wrong :
       {"http://b", "https://b/", "https://", "b", "https://b?c", "''", "[https://b]", "{}", "~"}) {
    CAPTURE(wrong);
    const std::string list = std::string("skms:\n  also_known_as:\n    - https://a\n    - ") + wrong + "\n";
    CHECK(ConfigurationFile(kMinimal + list).Complaint().find(":10:7: " + rule) == 0);
  }
  CHECK(ConfigurationFile(std::string(kMinimal) + ue + "[http://c]}\n")
            .Complaint()
            .find(":7:79: 'listen_ue.also_known_as' must be a list, each item https://") == 0);
  for (const char* wrong : {"https://a", "{a: https://a}", "~"}) {
    CAPTURE(wrong);
    CHECK(ConfigurationFile(std::string(kMinimal) + "skms:\n  also_known_as: " + wrong + "\n")
              .Complaint()
              .find(":8:18: 'skms.also_known_as' must be a list") == 0);
  }
}

TEST_CASE("a server has sixteen other names at most") {
  const auto with = [](int names) {
    std::string text = std::string(kMinimal) + "skms:\n  also_known_as:\n";
    for (int i = 0; i < names; ++i) text += "    - https://h" + std::to_string(i) + "\n";
    return text;
  };
  CHECK(ConfigurationFile(with(16)).Load().has_value());
  CHECK(ConfigurationFile(with(17)).Complaint() == ":9:5: 'skms.also_known_as' must name at most 16");
}

TEST_CASE("broken YAML and files that are no mapping are refused with their place") {
  CHECK(ConfigurationFile("token: [\n").Complaint().find(":2:1: ") == 0);
  CHECK(ConfigurationFile("- a\n").Complaint() == ": holds no sections");
  CHECK(ConfigurationFile("").Complaint() == ": holds no sections");
}

TEST_CASE("behind the edge the sockets and the proxy's user have defaults, and each can be said") {
  const std::string edge = std::string(kMinimal) + "  mode: edge\n";
  const Configuration plain = ConfigurationFile(edge).Load().value();
  CHECK(BehindEdge(plain));
  CHECK(plain.edge.user == "skms-edge");
  CHECK(plain.edge.socket == "/run/skms/edge.sock");
  const ConfigurationFile said(edge +
                               "edge: {user: proxy, socket: e.sock, log: all, requests_per_address: 5}\n");
  CHECK(said.Load().value().edge.socket == said.directory() + "/e.sock");
  CHECK(said.Load().value().edge.requests_per_address == 5);
  CHECK_FALSE(BehindEdge(ConfigurationFile(kMinimal).Load().value()));
}

TEST_CASE("what counts only behind the edge, or only with a CA, is refused elsewhere") {
  const std::string minimal = kMinimal;
  CHECK(ConfigurationFile(minimal + "edge: {user: a}\n")
            .Complaint()
            .find("counts with 'listen.mode: edge' alone") != std::string::npos);
  CHECK(
      ConfigurationFile(minimal + "  ocsp_response: a.der\n").Complaint().find("needs 'listen.mode: edge'") !=
      std::string::npos);
  const std::string ue = "listen_ue: {uri: \"https://h\", certificate: a, private_key: b, crl: c}\n";
  CHECK(ConfigurationFile(minimal + ue).Complaint().find("'listen_ue.crl' needs 'listen_ue.client_ca'") !=
        std::string::npos);
  CHECK(ConfigurationFile(minimal + "  mode: edges\n").Load().has_error());
}

TEST_CASE("a missing file says so") {
  const auto loaded = LoadConfiguration("/nonexistent/skms.yaml");
  REQUIRE(loaded.has_error());
  CHECK(loaded.error().code == ErrorCode::kIo);
  CHECK(loaded.error().detail == "/nonexistent/skms.yaml: No such file or directory");
}

TEST_CASE("the PIN is read from a private file only") {
  const test::TemporaryDirectory directory;
  TokenSection token;
  token.pin_file = directory.File("pin");
  std::ofstream(token.pin_file) << "1234\n";

  REQUIRE(::chmod(token.pin_file.c_str(), 0640) == 0);
  const auto refused = ReadPin(token);
  REQUIRE(refused.has_error());
  CHECK(refused.error().detail == token.pin_file + ": readable by others; run: chmod 0400 " + token.pin_file);

  REQUIRE(::chmod(token.pin_file.c_str(), 0400) == 0);
  const auto pin = ReadPin(token);
  REQUIRE(pin.has_value());
  CHECK(AsText(pin.value().ExposeSecret()) == "1234");
}

TEST_CASE("without a PIN file the systemd credential is used") {
  const test::TemporaryDirectory directory;
  std::ofstream(directory.File("skms-pin")) << "5678";
  REQUIRE(::chmod(directory.File("skms-pin").c_str(), 0440) == 0);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  REQUIRE(::setenv("CREDENTIALS_DIRECTORY", directory.path().c_str(), 1) == 0);
  const auto pin = ReadPin(TokenSection{});
  REQUIRE(::unsetenv("CREDENTIALS_DIRECTORY") == 0);  // NOLINT(concurrency-mt-unsafe): one thread
  REQUIRE(pin.has_value());
  CHECK(AsText(pin.value().ExposeSecret()) == "5678");

  const auto none = ReadPin(TokenSection{});
  REQUIRE(none.has_error());
  CHECK(none.error().code == ErrorCode::kConfiguration);
}

TEST_CASE("an attended token's PIN is in no file, and none may be named beside it") {
  TokenSection token;
  token.label = "hsm";
  token.attended = true;
  const auto locked = ReadPin(token);
  REQUIRE(locked.has_error());
  CHECK(locked.error().code == ErrorCode::kLocked);

  const std::string listen = std::string(kMinimal).substr(std::string(kMinimal).find("listen:"));
  const ConfigurationFile both("token: {label: a, attended: true, pin_file: pin}\n" + listen);
  CHECK(both.Complaint().find("'token.attended' is true beside a pin_file") != std::string::npos);
  const ConfigurationFile attended("token: {label: a, attended: true}\n" + listen);
  CHECK(attended.Load().value().tokens.front().attended);
}

TEST_CASE("without roles nothing needs approval; with roles the five of them do, by two persons in a day") {
  const Configuration plain = ConfigurationFile(kMinimal).Load().value();
  CHECK_FALSE(plain.roles.present);
  CHECK(plain.approvals.required.empty());
  const ConfigurationFile file(std::string(kMinimal) +
                               "roles:\n  admin: [user:alice, group:keepers]\n  officer: [user:bob]\n");
  const auto loaded = file.Load();
  REQUIRE(loaded.has_value());
  CHECK(loaded.value().roles.admin == std::vector<std::string>{"user:alice", "group:keepers"});
  CHECK(loaded.value().roles.officer == std::vector<std::string>{"user:bob"});
  CHECK(loaded.value().roles.operators.empty());
  CHECK(loaded.value().approvals.required ==
        std::vector<std::string>{"destroy", "restore", "kek", "strict-recipient", "audit-key"});
  CHECK(loaded.value().approvals.quorum == 2);
  CHECK(loaded.value().approvals.expires_s == 86400);
}

TEST_CASE("approvals can be asked for without roles, and be fewer with them") {
  const std::string some = "approvals:\n  required: [destroy]\n  quorum: 3\n  expires_s: 60\n";
  const auto alone = ConfigurationFile(kMinimal + some).Load();
  REQUIRE(alone.has_value());
  CHECK(alone.value().approvals.required == std::vector<std::string>{"destroy"});
  CHECK(alone.value().approvals.quorum == 3);
  const auto none =
      ConfigurationFile(std::string(kMinimal) + "roles:\n  admin: [user:a]\napprovals:\n  required: []\n")
          .Load();
  REQUIRE(none.has_value());
  CHECK(none.value().approvals.required.empty());
}

TEST_CASE("roles and approvals that cannot be meant are refused where they stand") {
  const auto complaint = [](const char* more) {
    return ConfigurationFile(std::string(kMinimal) + more).Complaint();
  };
  CHECK(complaint("roles:\n  admin: [alice]\n").find("item user:NAME or group:NAME") != std::string::npos);
  CHECK(complaint("roles:\n  admin: ['user:']\n").find(":8:10: 'roles.admin' must be a list") == 0);
  CHECK(complaint("roles:\n  admin: user:alice\n").find("'roles.admin' must be a list of at most 64") !=
        std::string::npos);
  CHECK(complaint("roles:\n  auditor: [user:a]\n").find("'roles.admin' must name somebody") !=
        std::string::npos);
  CHECK(complaint("roles:\n  admin: [user:a]\n  king: [user:b]\n").find("unknown key 'king' in 'roles'") !=
        std::string::npos);
  CHECK(complaint("approvals:\n  required: [everything]\n").find("knows no 'everything'; known: destroy") !=
        std::string::npos);
  CHECK(complaint("approvals:\n  quorum: 1\n").find("'approvals.quorum' must be a whole number from 2") !=
        std::string::npos);
  CHECK(complaint("approvals:\n  expires_s: 59\n").find("'approvals.expires_s' must be") !=
        std::string::npos);
}

}  // namespace
}  // namespace skms::appliance
