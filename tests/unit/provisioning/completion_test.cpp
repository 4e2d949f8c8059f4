#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

#include "provisioning/command.h"
#include "provisioning/manual.h"
#include "tests/support/skmsctl_run.h"
#include "tests/support/temporary_directory.h"

namespace skms::provisioning {

using skms::test::Has;

namespace {

/// What bash offers for the last of `words`, the script being loaded.
std::set<std::string> Offered(const std::vector<std::string>& words) {
  const test::TemporaryDirectory directory;
  std::ofstream(directory.File("skmsctl.bash")) << manual::BashCompletion(Manual());
  std::ofstream script(directory.File("ask.bash"));
  script << "set -u\nsource '" << directory.File("skmsctl.bash") << "'\nCOMP_WORDS=(";
  for (const std::string& word : words) script << "'" << word << "' ";
  script << ")\nCOMP_CWORD=" << words.size() - 1
         << "\n_skmsctl || echo failed\nprintf '%s\\n' ${COMPREPLY[@]+\"${COMPREPLY[@]}\"}\n";
  script.close();
  const std::string command = "bash '" + directory.File("ask.bash") + "' 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  std::array<char, 256> buffer{};
  while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), pipe) != nullptr) output += buffer.data();
  CHECK(::pclose(pipe) == 0);
  std::set<std::string> offered;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) offered.insert(line);
  }
  return offered;
}

using Offers = std::set<std::string>;

}  // namespace

TEST_CASE("The script lists every command with all of its options") {
  const std::string script = manual::BashCompletion(Manual());
  for (const Command& command : Commands()) {
    CAPTURE(command.name());
    CHECK(Has(script, "'" + command.name() + "'"));
    OptionsDescription options;
    command.describe(options);
    for (const auto& option : options.options()) CHECK(Has(script, "--" + option->long_name()));
  }
}

TEST_CASE("The command prints the same script that is installed") {
  const auto run = test::Skmsctl({"completion", "bash"});
  CHECK(run.code == 0);
  CHECK(run.out == manual::BashCompletion(Manual()));
}

TEST_CASE("Bash completes groups, verbs, options and values from it") {
  CHECK(Offered({"skmsctl", "ser"}) == Offers{"service"});
  CHECK(Offered({"skmsctl", "service", ""}) == Offers{"add", "list", "remove", "set", "show"});
  CHECK(Offered({"skmsctl", "service", "add", "x", "--gen"}) == Offers{"--generate-on-request"});
  CHECK(Offered({"skmsctl", "service", "add", "x", "--delivery", ""}) == Offers{"tls", "wrapped"});
  CHECK(Offered({"skmsctl", "service", "add", "x", "--profile", "aes"}) == Offers{"aes-128", "aes-256"});
  CHECK(Offered({"skmsctl", "completion", ""}) == Offers{"bash", "zsh"});
  CHECK(Offered({"skmsctl", "init", "--con"}) == Offers{"--config"});
}

TEST_CASE("The value of an option is not taken for a command's word") {
  CHECK(Offered({"skmsctl", "--config", "service", "key", "ro"}) == Offers{"rotate"});
}

}  // namespace skms::provisioning
