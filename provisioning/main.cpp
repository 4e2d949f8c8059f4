// skmsctl: the administrator's command line. No secret is ever an argument of it.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <csignal>
#include <exception>
#include <iostream>

#include "provisioning/command.h"

int main(int argc, char** argv) {
  // A PIN or transport key may pass through this process: leave no core.
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    std::cerr << "skmsctl: core dumps cannot be switched off\n";
    return skms::provisioning::kExitFailed;
  }
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return skms::provisioning::kExitFailed;
  try {
    return skms::provisioning::RunCommandLine(argc - 1, argv + 1);
  } catch (const std::exception& error) {
    std::cerr << "skmsctl: unexpected: " << error.what() << '\n';
    return skms::provisioning::kExitFailed;
  }
}
