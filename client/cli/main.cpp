// skmc: the key management client. Keys pass through this process: no cores, wiped after use.
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string_view>

#include "base/core_dumps.h"
#include "client/cli/conform_command.h"
#include "client/cli/get_command.h"
#include "client/cli/provision_command.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Command {
  std::string_view name;
  int (*run)(int, const char* const*);
  const char* purpose;
};

constexpr Command kCommands[] = {
    {"get", &skms::client::RunGet, "fetch a key or payload over KM-S, as a VAL server"},
    {"request", &skms::client::RunRequest, "ask for a key or payload over KM-UU, as a UE"},
    {"provision", &skms::client::RunProvision, "store a payload for those who may retrieve it"},
    {"conform", &skms::client::RunConform, "try a server against the standard, case by case"},
    {"discover", &skms::client::RunDiscover, "print what a server says of itself"},
};

int Run(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  for (const Command& command : kCommands)
    if (name == command.name) return command.run(argc - 1, argv + 1);
  if (name == "--version") {
    std::cout << "skmc " << SKMS_VERSION << '\n';
    return 0;
  }
  const bool asked = name == "--help" || name == "-h";
  std::ostream& out = asked ? std::cout : std::cerr;
  if (!asked && !name.empty()) out << "skmc: there is no command '" << name << "'\n\n";
  out << "Usage: skmc COMMAND [OPTIONS]\n\nThe SEAL key management client (3GPP TS 33.434, TS 29.549).\n\n";
  for (const Command& command : kCommands)
    out << "  " << std::left << std::setw(11) << command.name << command.purpose << '\n';
  out << "\nskmc COMMAND --help tells a command's options.\n";
  return asked ? 0 : kExitUsage;
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
