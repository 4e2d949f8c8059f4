// skmc: the key management client. Keys pass through this process: no cores, wiped after use.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string_view>

#include "base/core_dumps.h"
#include "client/cli/commands.h"

namespace {

constexpr int kExitFailed = 1;

int Run(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  for (const skms::client::Command& command : skms::client::Commands())
    if (name == command.name) return skms::client::RunCommand(argc - 1, argv + 1, command);
  if (name == "--version") {
    std::cout << "skmc " << SKMS_VERSION << '\n';
    return 0;
  }
  const bool asked = name == "--help" || name == "-h";
  std::ostream& out = asked ? std::cout : std::cerr;
  if (!asked && !name.empty()) out << "skmc: there is no command '" << name << "'\n\n";
  out << skms::client::OverviewHelp();
  return asked ? 0 : skms::client::kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  if (const skms::Status forbidden = skms::ForbidCoreDumps(); forbidden.has_error()) {
    std::cerr << "skmc: core dumps cannot be switched off: " << forbidden.error().detail << '\n';
    return kExitFailed;
  }
  // OpenSSL and libcurl would write the secrets of each connection to this file.
  ::unsetenv("SSLKEYLOGFILE");  // NOLINT(concurrency-mt-unsafe): there are no threads yet
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "skmc: unexpected: " << error.what() << '\n';
    return kExitFailed;
  }
}
