// skmsctl against the real admin API over a unix socket, in one process.
#include <doctest/doctest.h>

#include <filesystem>

#include "api/http/transport.h"
#include "base/file.h"
#include "tests/support/skmsctl_run.h"
#include "tests/token/api_admin/admin_fixture.h"

namespace skms {

using test::Has;
using test::Must;

namespace {

class Daemon : public test::AdminFixture {
 public:
  Daemon() { Must(transport->Start()); }
  ~Daemon() { transport->Stop(); }

  test::Run Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--socket", socket()});
    return test::Skmsctl(arguments);
  }
  std::string socket() const { return File("admin.sock"); }
  std::string File(const std::string& name) const { return token.directory() + "/" + name; }
  std::string Write(const std::string& name, ByteView contents, unsigned mode = 0644) const {
    Must(WriteFileAtomically(File(name), contents, mode));
    return File(name);
  }
  std::string CertificateFile(const std::string& name) const {
    return Write(name + ".der", test::Certificate(key.get(), name));
  }

 private:
  std::unique_ptr<http::Transport> transport =
      Must(http::CreateUnixTransport({.path = socket(), .mode = 0600, .group = std::nullopt}, api));
};

}  // namespace

TEST_CASE("Empty lists say so and name the command that adds an entry") {
  const Daemon daemon;
  for (const char* group : {"service", "principal", "recipient", "issuer"}) {
    const auto run = daemon.Run({group, "list"});
    CAPTURE(group);
    CHECK(run.code == 0);
    CHECK(Has(run.out, "skmsctl " + std::string(group) + " add ID"));
  }
  CHECK(Has(daemon.Run({"key", "list"}).out, "skmsctl key rotate --service"));
}

TEST_CASE("The first steps of an administrator work from enrolment to rotation") {
  const Daemon daemon;
  CHECK(daemon.Run({"principal", "add", "val-1", "--certificate", daemon.CertificateFile("val-1")}).code ==
        0);
  CHECK(daemon.Run({"service", "add", "uav.c2", "--scope", "service,user", "--reader", "val-1"}).code == 0);
  const auto list = daemon.Run({"service", "list"});
  CHECK(Has(list.out,
            "SERVICE  PROFILE  SCOPES        ON REQUEST  DELIVERY  READERS  GROUP SERVERS\n"
            "uav.c2   aes-256  service,user  yes         wrapped   val-1    -\n"));
  const auto rotated = daemon.Run({"key", "rotate", "--service", "uav.c2", "--user", "alice"});
  CHECK(rotated.code == 0);
  CHECK(Has(rotated.out, "version 1 is active now"));
  CHECK(Has(daemon.Run({"key", "list"}).out, "alice"));
  CHECK(Has(daemon.Run({"status"}).out, "skms-test"));
  CHECK(Has(daemon.Run({"audit", "verify"}).out, "is whole"));
}

TEST_CASE("Setting a service changes only what is given") {
  const Daemon daemon;
  daemon.Run({"principal", "add", "val-1", "--certificate", daemon.CertificateFile("val-1")});
  daemon.Run(
      {"service", "add", "s", "--profile", "hmac-sha256", "--scope", "user,ue", "--user-uri", "sip:s@x"});
  CHECK(daemon.Run({"service", "set", "s", "--add-reader", "val-1"}).code == 0);
  const auto service = daemon.store->FindService(keystore::ValServiceId("s")).value();
  CHECK(service.profile == "hmac-sha256");
  CHECK(service.scopes.size() == 2);
  CHECK(service.user_uri == "sip:s@x");
  CHECK(service.readers.size() == 1);
  CHECK(daemon.Run({"service", "set", "s", "--remove-reader", "val-1", "--generate-on-request", "no"}).code ==
        0);
  const auto closed = daemon.store->FindService(keystore::ValServiceId("s")).value();
  CHECK(closed.readers.empty());
  CHECK_FALSE(closed.generate_on_request);
  CHECK(daemon.Run({"service", "set", "s", "--remove-reader", "val-1"}).code == 6);
}

TEST_CASE("A service has a home, and one for UEs where that is another; 'here' ends both") {
  const Daemon daemon;
  const auto shows = [&](const char* line) { return Has(daemon.Run({"service", "show", "s"}).out, line); };
  daemon.Run({"service", "add", "s"});
  CHECK(shows("home for UEs         here"));
  const auto refused = daemon.Run({"service", "set", "s", "--home-ue", "https://h:8444"});
  CHECK(refused.code == 1);
  CHECK(Has(refused.err, "a home for UEs needs a home"));
  CHECK(daemon.Run({"service", "set", "s", "--home", "https://h"}).code == 0);
  CHECK(shows("home for UEs         the same"));
  CHECK(daemon.Run({"service", "set", "s", "--home-ue", "https://h:8444"}).code == 0);
  CHECK(shows("home                 https://h (for now)"));
  CHECK(shows("home for UEs         https://h:8444"));
  CHECK(Has(daemon.Run({"service", "list", "--output", "json"}).out, "\"homeUe\": \"https://h:8444\""));
  CHECK(daemon.Run({"service", "set", "s", "--home-permanent", "yes"}).code == 0);
  CHECK(shows("home for UEs         https://h:8444"));
  CHECK(daemon.Run({"service", "set", "s", "--home-ue", "here"}).code == 0);
  CHECK(shows("home for UEs         the same"));
  daemon.Run({"service", "set", "s", "--home-ue", "https://h:8444"});
  CHECK(daemon.Run({"service", "set", "s", "--home", "here"}).code == 0);
  CHECK(daemon.store->FindService(keystore::ValServiceId("s")).value().access.home_ue.empty());
  CHECK(daemon.Run({"service", "set", "s", "--home", "here", "--home-ue", "https://h"}).code == 1);
}

TEST_CASE("A rotation policy is given in days and shown in days, and a tenth ahead is the default") {
  const Daemon daemon;
  CHECK(
      daemon.Run({"service", "add", "s", "--crypto-period", "90d", "--overlap", "12h", "--max-records", "5"})
          .code == 0);
  const std::string shown = daemon.Run({"service", "show", "s"}).out;
  for (const char* line : {"crypto-period        90d", "overlap              12h", "next made ahead      9d",
                           "versions kept        all", "records at most      5"}) {
    CAPTURE(line);
    CHECK(Has(shown, line));
  }
  CHECK(daemon.Run({"service", "set", "s", "--crypto-period", "30d"}).code == 0);
  CHECK(Has(daemon.Run({"service", "show", "s"}).out, "next made ahead      3d"));
  const auto refused = daemon.Run({"service", "set", "s", "--overlap", "40d"});
  CHECK(refused.code == 1);
  CHECK(Has(refused.err, "shorter than the crypto-period"));
  CHECK(daemon.Run({"service", "set", "s", "--overlap", "a while"}).code == 2);
  CHECK(daemon.Run({"rotation", "resume"}).code == 7);
}

TEST_CASE("A rotation that would destroy old versions says so before, and then does it") {
  const Daemon daemon;
  CHECK(daemon.Run({"service", "add", "s", "--versions-kept", "3"}).code == 0);
  const auto first = daemon.Run({"key", "rotate", "--service", "s", "--dry-run"});
  CHECK(first.code == 0);
  CHECK(Has(first.out, "version 1 would be active, made new"));
  CHECK(Has(daemon.Run({"key", "list"}).out, "no keys"));
  for (int i = 0; i < 3; ++i) daemon.Run({"key", "rotate", "--service", "s"});
  const std::string before = daemon.Run({"key", "list", "--output", "json"}).out;
  const auto fourth = daemon.Run({"key", "rotate", "--service", "s", "--dry-run"});
  CHECK(Has(fourth.out, "version 4 would be active"));
  CHECK(Has(fourth.out, "lost for good: version 1"));
  CHECK(daemon.Run({"key", "list", "--output", "json"}).out == before);
  daemon.Run({"key", "rotate", "--service", "s"});
  CHECK(Has(daemon.Run({"key", "list", "--state", "destroyed"}).out, "destroyed"));
}

TEST_CASE("A rotation that will cost an active version later says so, too") {
  const Daemon daemon;
  CHECK(
      daemon
          .Run({"service", "add", "s", "--versions-kept", "3", "--crypto-period", "30d", "--overlap", "20d"})
          .code == 0);
  for (int i = 0; i < 3; ++i) daemon.Run({"key", "rotate", "--service", "s"});
  const auto fourth = daemon.Run({"key", "rotate", "--service", "s", "--dry-run"});
  CHECK_FALSE(Has(fourth.out, "lost for good"));
  CHECK(Has(fourth.out, "lost when it ends: version 1"));
}

TEST_CASE("Delivery in plaintext inside TLS is warned of on standard error") {
  const Daemon daemon;
  const auto run = daemon.Run({"service", "add", "s", "--delivery", "tls"});
  CHECK(run.code == 0);
  CHECK(Has(run.err, "plaintext"));
  CHECK_FALSE(Has(daemon.Run({"service", "add", "t"}).err, "warning"));
}

TEST_CASE("What is missing is exit 6, what exists exit 7, what is refused exit 1") {
  const Daemon daemon;
  CHECK(daemon.Run({"service", "add", "s"}).code == 0);
  CHECK(daemon.Run({"service", "add", "s"}).code == 7);
  CHECK(daemon.Run({"service", "show", "t"}).code == 6);
  CHECK(daemon.Run({"key", "show", "none"}).code == 6);
  CHECK(daemon.Run({"service", "add", "x", "--profile", "rot13"}).code == 1);
  CHECK(daemon.Run({"service", "add", "x", "--reader", "nobody"}).code == 1);
  CHECK(daemon.Run({"key", "rotate", "--service", "s", "--ue", "d"}).code == 1);
  CHECK(daemon.Run({"service", "remove", "s"}).code == 0);
}

TEST_CASE("A transport key file is taken as octets or hex, but only when nobody else can read it") {
  const Daemon daemon;
  daemon.Run({"principal", "add", "val-1", "--certificate", daemon.CertificateFile("val-1")});
  Bytes raw(32, 0x41);
  raw.back() = '\n';  // a key may end in what looks like a line's end
  const std::string path = daemon.Write("key", raw, 0644);
  const auto add = [&](const std::string& file) {
    return daemon.Run({"recipient", "add", "r", "--principal", "val-1", "--transport-key", file});
  };
  const auto open = add(path);
  CHECK(open.code == 3);
  CHECK(Has(open.err, "chmod"));
  std::filesystem::permissions(path, std::filesystem::perms{0400});
  CHECK(add(path).code == 0);
  CHECK(daemon.Run({"recipient", "remove", "r"}).code == 0);
  CHECK(add(daemon.Write("hex", AsBytes(std::string(64, 'a') + "\n"), 0600)).code == 0);
  CHECK(Has(daemon.Run({"recipient", "list"}).out, "transport-key"));
  daemon.Run({"recipient", "remove", "r"});
  for (const std::size_t size : {0U, 16U, 31U, 33U, 63U, 65U}) {
    CAPTURE(size);
    const auto run = add(daemon.Write("odd", Bytes(size, 'a'), 0600));
    CHECK(run.code == 3);
    CHECK_FALSE(Has(run.err, "aaaa"));
  }
}

TEST_CASE("A recipient's RSA key is taken from a certificate or a public key file") {
  const Daemon daemon;
  const std::string certificate = daemon.CertificateFile("val-1");
  daemon.Run({"principal", "add", "val-1", "--certificate", certificate});
  const auto add = [&](const char* option, const std::string& file) {
    return daemon.Run({"recipient", "add", "r", "--principal", "val-1", option, file});
  };
  CHECK(add("--certificate", certificate).code == 0);
  const Bytes spki = Must(hsm::PublicSpki(daemon.key.get()));
  const auto enrolled = [&] {
    return std::get<hsm::RsaRecipient>(daemon.store->Recipients().at(0).key).spki;
  };
  CHECK(enrolled() == spki);
  daemon.Run({"recipient", "remove", "r"});
  CHECK(add("--public-key", daemon.Write("public.der", spki)).code == 0);
  CHECK(enrolled() == spki);
}

TEST_CASE("An EC certificate is enrolled with the hint that a recipient key is needed") {
  const Daemon daemon;
  const hsm::PkeyPtr ec(EVP_EC_gen("P-256"));
  const std::string file = daemon.Write("ec.der", test::Certificate(ec.get(), "ec"));
  const auto run = daemon.Run({"principal", "add", "ec", "--certificate", file});
  CHECK(run.code == 0);
  CHECK(Has(run.err, "skmsctl recipient add ID --principal ec"));
}

TEST_CASE("JSON output is one document on standard output for every command") {
  const Daemon daemon;
  const std::string jwks = daemon.Write("jwks.json", AsBytes(test::JwksOf(daemon.key.get()).dump()));
  const std::vector<std::vector<std::string>> lines = {
      {"principal", "add", "val-1", "--certificate", daemon.CertificateFile("val-1")},
      {"issuer", "add", "sim-s", "--issuer", "https://s", "--audience", "skms", "--jwks", jwks},
      {"service", "add", "s", "--reader", "val-1"},
      {"service", "set", "s", "--generate-on-request", "no"},
      {"service", "list"},
      {"service", "show", "s"},
      {"principal", "list"},
      {"recipient", "list"},
      {"issuer", "list"},
      {"key", "rotate", "--service", "s"},
      {"key", "list"},
      {"status"},
      {"audit", "verify"},
      {"issuer", "remove", "sim-s"}};
  for (std::vector<std::string> line : lines) {
    CAPTURE(line[0] + " " + (line.size() > 1 ? line[1] : ""));
    line.insert(line.end(), {"--output", "json"});
    const auto run = daemon.Run(line);
    CHECK(run.code == 0);
    CHECK(nlohmann::json::parse(run.out, nullptr, false).is_object());
  }
}

TEST_CASE("A JWK Set with a private key is refused, and the key is not shown") {
  const Daemon daemon;
  nlohmann::json jwks = test::JwksOf(daemon.key.get());
  jwks["keys"][0]["d"] = "c2VjcmV0";
  const std::string file = daemon.Write("jwks.json", AsBytes(jwks.dump()));
  const auto run =
      daemon.Run({"issuer", "add", "i", "--issuer", "https://s", "--audience", "a", "--jwks", file});
  CHECK(run.code == 1);
  CHECK_FALSE(Has(run.err, "c2VjcmV0"));
}

}  // namespace skms
