// How skmsctl ends: exit codes, and the two lines it prints when something went wrong. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skms::provisioning {

/// Documented in docs/cli.md; stable.
enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,         ///< the daemon refused the request, or failed
  kExitUsage = 2,          ///< the command line is wrong
  kExitConfiguration = 3,  ///< the configuration, a file or the database
  kExitUnreachable = 4,    ///< the daemon does not answer, or is too busy
  kExitToken = 5,          ///< token or PIN
  kExitNotFound = 6,       ///< what was named does not exist
  kExitConflict = 7,       ///< it exists already, or is in use
  kExitApproval = 8,       ///< others must approve it first; nothing was done
};

int ExitCodeFor(ErrorCode code);

/// "skmsctl: what went wrong\n  what to do: …\n". `group` is the command's group, e.g. "service".
std::string DescribeFailure(const Error& error, std::string_view group);

/// As DescribeFailure, for a command line that cannot be understood; `see` is the help to look at.
std::string DescribeUsageError(std::string_view message, std::string_view see);

}  // namespace skms::provisioning
