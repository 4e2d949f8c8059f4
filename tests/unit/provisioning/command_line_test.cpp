#include <doctest/doctest.h>

#include <set>

#include "provisioning/command.h"
#include "provisioning/failure.h"
#include "tests/support/skmsctl_run.h"

namespace skms::provisioning {

using skms::test::Has;
using skms::test::Skmsctl;

TEST_CASE("The overview names every command and every exit code") {
  const auto run = Skmsctl({"--help"});
  CHECK(run.code == kExitOk);
  for (const Command& command : Commands()) CHECK(Has(run.out, "  " + command.name()));
  CHECK(Has(run.out, "7  it exists already"));
}

TEST_CASE("Every command has help with its summary, its options and an example that names it") {
  for (const Command& command : Commands()) {
    std::vector<std::string> line{command.group};
    if (command.has_verb()) line.emplace_back(command.verb);
    line.emplace_back("--help");
    const auto run = Skmsctl(line);
    CAPTURE(command.name());
    CHECK(run.code == kExitOk);
    CHECK(run.err.empty());
    CHECK(Has(run.out, command.summary));
    CHECK(Has(run.out, "--config"));
    CHECK(Has(run.out, "Example:"));
    CHECK(Has(command.example, command.name()));
  }
}

TEST_CASE("Every group with verbs has help of its own with an example") {
  for (const Command& command : Commands()) {
    if (!command.has_verb()) continue;
    const auto run = Skmsctl({command.group, "--help"});
    CHECK(run.code == kExitOk);
    CHECK(Has(run.out, command.name()));
    CHECK(Has(run.out, "Example:"));
  }
}

TEST_CASE("No two commands have the same name") {
  std::set<std::string> names;
  for (const Command& command : Commands()) CHECK(names.insert(command.name()).second);
}

TEST_CASE("A command line that cannot be understood is exit 2, in two lines, and touches nothing") {
  const std::vector<std::vector<std::string>> lines = {
      {},
      {"frobnicate"},
      {"service"},
      {"service", "frobnicate"},
      {"service", "add"},
      {"service", "show", "a", "b"},
      {"service", "list", "a"},
      {"status", "extra"},
      {"status", "--frob"},
      {"status", "--output", "xml"},
      {"status", "--output"},
      {"principal", "add", "p"},
      {"recipient", "add", "r", "--principal", "p"},
      {"recipient", "add", "r", "--principal", "p", "--public-key", "a", "--certificate", "b"},
      {"recipient", "add", "r", "--public-key", "a"},
      {"issuer", "add", "i", "--issuer", "u", "--audience", "a"},
      {"key", "rotate"},
      {"key", "rotate", "--service", "s", "--user", "u", "--ue", "d"},
      {"key", "list", "--limit", "-1"},
      {"key", "list", "--limit", "0"},
      {"key", "list", "--limit", "1001"},
      {"key", "list", "--limit", "ten"},
      {"service", "add", "s", "--generate-on-request", "maybe"},
      {"completion", "fish"},
  };
  for (const auto& line : lines) {
    std::string shown;
    for (const std::string& word : line) shown += word + " ";
    CAPTURE(shown);
    const auto run = Skmsctl(line);
    CHECK(run.code == kExitUsage);
    CHECK(run.out.empty());
    CHECK(Has(run.err, "skmsctl: "));
    CHECK(Has(run.err, "\n  what to do: see: skmsctl "));
  }
}

TEST_CASE("An abbreviated option is refused rather than guessed") {
  const auto run = Skmsctl({"principal", "add", "p", "--cert", "x"});
  CHECK(run.code == kExitUsage);
  CHECK(Has(run.err, "--cert"));
}

TEST_CASE("The common options may stand before the command") {
  const auto before = Skmsctl({"--socket", "/nonexistent/a.sock", "--output", "json", "service", "list"});
  CHECK(before.code == kExitUnreachable);
  CHECK(Has(before.err, "/nonexistent/a.sock"));
}

TEST_CASE("An option's value is not taken for a verb where the command has none") {
  const auto run = Skmsctl({"unlock", "--pin-file", "/nonexistent/pin", "--socket", "/nonexistent/a.sock"});
  CHECK(run.code == kExitUnreachable);
  CHECK(Has(run.err, "/nonexistent/a.sock"));
}

TEST_CASE("A missing configuration is exit 3 and named") {
  const auto run = Skmsctl({"--config", "/nonexistent/skms.yaml", "status"});
  CHECK(run.code == kExitConfiguration);
  CHECK(Has(run.err, "/nonexistent/skms.yaml"));
}

TEST_CASE("No option takes a PIN or a key, only files") {
  for (const Command& command : Commands()) {
    OptionsDescription options;
    command.describe(options);
    for (const auto& option : options.options()) {
      CAPTURE(command.name());
      CHECK_FALSE(Has(option->long_name(), "password"));
      if (Has(option->long_name(), "key") || Has(option->long_name(), "pin"))
        CHECK(option->semantic()->name() == "FILE");
    }
  }
}

TEST_CASE("The version is printed alone") {
  const auto run = Skmsctl({"--version"});
  CHECK(run.code == kExitOk);
  CHECK(run.out.rfind("skmsctl ", 0) == 0);
}

}  // namespace skms::provisioning
