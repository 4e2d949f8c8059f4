// skmsctl: the administrator's command line. No secret is ever an argument of it.
#include <csignal>
#include <exception>
#include <iostream>
#include <string>

#include "base/core_dumps.h"
#include "base/log.h"
#include "provisioning/command.h"
#include "provisioning/failure.h"

int main(int argc, char** argv) {
  // A PIN or transport key may pass through this process: leave no core.
  if (const skms::Status forbidden = skms::ForbidCoreDumps(); forbidden.has_error()) {
    std::cerr << "skmsctl: core dumps cannot be switched off: " << forbidden.error().detail << '\n';
    return skms::provisioning::kExitFailed;
  }
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return skms::provisioning::kExitFailed;
  // What the key store or the token's keeper says, apart from the output.
  skms::OpenLog("skmsctl", skms::LogLevel::kWarning);
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
