// skmc: the key management client. Keys pass through this process: no cores, wiped after use.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <exception>
#include <iostream>
#include <string_view>

#include "client/get_command.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

int Run(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "get") return skms::client::RunGet(argc - 1, argv + 1);
  if (command == "--version") {
    std::cout << "skmc " << SKMS_VERSION << '\n';
    return 0;
  }
  const bool asked = command == "--help" || command == "-h";
  (asked ? std::cout : std::cerr) << "Usage: skmc get [OPTIONS]\n\n"
                                     "The SEAL key management client (3GPP TS 33.434 5.3).\n"
                                     "  get   fetch a key over KM-S and open it; skmc get --help\n";
  return asked ? 0 : kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    std::cerr << "skmc: core dumps cannot be switched off\n";
    return kExitFailed;
  }
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "skmc: unexpected: " << error.what() << '\n';
    return kExitFailed;
  }
}
