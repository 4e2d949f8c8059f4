#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "tests/support/skmsctl_run.h"
#include "tests/token/soft_token.h"

namespace skms {

using test::Has;
using test::Skmsctl;
using test::SoftToken;

namespace {

/// A configuration for `token`, with a PIN file of mode 0400 beside it.
std::string Configure(const SoftToken& token, const std::string& label, const std::string& pin) {
  const std::string& directory = token.directory();
  std::string path = directory + "/skms.yaml";
  const std::string text = "token: {module: " + std::string(test::kSoftHsmModule) + ", label: " + label +
                           ", pin_file: pin}\nstore: {path: skms.db}\n"
                           "listen: {certificate: c.pem, private_key: k.pem, client_ca: ca.pem}\n"
                           "admin: {socket: admin.sock}\n";
  REQUIRE(WriteFileAtomically(path, AsBytes(text), 0644).has_value());
  REQUIRE(WriteFileAtomically(directory + "/pin", AsBytes(pin), 0400).has_value());
  return path;
}

}  // namespace

TEST_CASE("init makes token keys and database once, and a second run says that they are there") {
  const SoftToken token;
  const std::string config = Configure(token, "skms", std::string(SoftToken::kPin));
  const auto first = Skmsctl({"init", "--config", config});
  CHECK(first.code == 0);
  CHECK(Has(first.out, "skms-kek-1"));
  CHECK(Has(first.out, "was made"));
  CHECK(std::filesystem::exists(token.directory() + "/skms.db"));
  const auto second = Skmsctl({"init", "--config", config});
  CHECK(second.code == 0);
  CHECK(Has(second.out, "were there already"));
  CHECK(Has(second.out, "skms-kek-1"));
}

TEST_CASE("init tells as JSON what it made") {
  const SoftToken token;
  const std::string config = Configure(token, "skms", std::string(SoftToken::kPin));
  CHECK(Has(Skmsctl({"init", "--config", config, "--output", "json"}).out, "\"madeTokenKeys\": true"));
  CHECK(Has(Skmsctl({"init", "--config", config, "--output", "json"}).out, "\"madeTokenKeys\": false"));
}

TEST_CASE("A wrong PIN ends init with exit 5 and leaves no database") {
  const SoftToken token;
  const std::string config = Configure(token, "skms", "000000");
  const auto run = Skmsctl({"init", "--config", config});
  CHECK(run.code == 5);
  CHECK(Has(run.err, "CKR_PIN_INCORRECT"));
  CHECK(Has(run.err, "tried once"));
  CHECK_FALSE(Has(run.err, "000000"));
  CHECK_FALSE(std::filesystem::exists(token.directory() + "/skms.db"));
}

TEST_CASE("A PIN file that others may read is refused before the token is asked") {
  const SoftToken token;
  const std::string config = Configure(token, "skms", std::string(SoftToken::kPin));
  std::filesystem::permissions(token.directory() + "/pin", std::filesystem::perms{0444});
  const auto run = Skmsctl({"init", "--config", config});
  CHECK(run.code == 3);
  CHECK(Has(run.err, "chmod"));
}

TEST_CASE("A token that is not there is exit 5 and named") {
  const SoftToken token;
  const auto run = Skmsctl({"init", "--config", Configure(token, "absent", std::string(SoftToken::kPin))});
  CHECK(run.code == 5);
  CHECK(Has(run.err, "absent"));
}

TEST_CASE("Probing needs no keys of ours, prints a verdict, and leaves nothing behind") {
  const SoftToken token;
  const std::string config = Configure(token, "skms", std::string(SoftToken::kPin));
  const auto table = Skmsctl({"token", "probe", "--config", config});
  CHECK(table.code == 0);
  CHECK(Has(table.out, "CAPABILITY"));
  CHECK(Has(table.out, "verdict: this token can be used"));
  const auto as_json = Skmsctl({"token", "probe", "--config", config, "--output", "json"});
  CHECK(Has(as_json.out, "\"usable\": true"));
  const test::RawSession raw;
  CHECK(raw.Count("skms-kek-1", 4) == 0);  // CKO_SECRET_KEY
}

}  // namespace skms
