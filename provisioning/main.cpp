// skmsctl: the administrator's command line. No secret is ever an argument of it.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <string>

#include "provisioning/command.h"
#include "provisioning/failure.h"

int main(int argc, char** argv) {
  // A PIN or transport key may pass through this process: leave no core.
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    std::cerr << "skmsctl: core dumps cannot be switched off\n";
    return skms::provisioning::kExitFailed;
  }
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return skms::provisioning::kExitFailed;
  try {
    const int code = skms::provisioning::RunCommandLine(argc - 1, argv + 1);
    if (std::cout.flush()) return code;
    std::cerr
        << "skmsctl: the output cannot be written\n  what to do: check where it goes; what was asked for "
           "may have been done\n";
    return code == skms::provisioning::kExitOk ? skms::provisioning::kExitConfiguration : code;
  } catch (const std::exception& error) {
    std::cerr << skms::provisioning::DescribeFailure(
        skms::InternalError(std::string("unexpected: ") + error.what()), "");
    return skms::provisioning::kExitFailed;
  }
}
