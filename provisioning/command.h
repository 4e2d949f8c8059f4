// Command: one sub-command of skmsctl, as a row of one table that help, parsing and completion all read.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <span>
#include <string>

#include "appliance/config/configuration.h"
#include "base/result.h"

namespace skms::provisioning {

/// What every command gets besides its own options.
struct Session {
  std::string config_path;
  std::string socket;  ///< empty: from the configuration
  bool json = false;

  Result<appliance::Configuration> LoadConfiguration() const;
  Result<std::string> SocketPath() const;
};

using Options = boost::program_options::variables_map;

struct Command {
  const char* group;     ///< "service", or "init" for a command without verb
  const char* verb;      ///< "add", or "" for a command without verb
  const char* argument;  ///< name of the one positional argument, e.g. "ID"; "" for none
  const char* summary;
  const char* example;
  void (*describe)(boost::program_options::options_description& options);
  Status (*run)(const Session& session, const Options& options);

  std::string name() const { return std::string(group) + (*verb == '\0' ? "" : std::string(" ") + verb); }
};

std::span<const Command> Commands();

/// Exit codes of skmsctl, documented in docs/cli.md.
enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,         ///< the server refused or failed
  kExitUsage = 2,          ///< the command line is wrong
  kExitConfiguration = 3,  ///< a file, the configuration or the database
  kExitUnreachable = 4,    ///< the daemon does not answer
  kExitToken = 5,          ///< token or PIN
  kExitNotFound = 6,
  kExitConflict = 7,  ///< exists already, or in use
};
int ExitCodeFor(ErrorCode code);

/// Runs a whole command line (without the program's name). Writes to standard output and standard error.
int RunCommandLine(int argc, const char* const* argv);

/// The bash completion script, made from Commands().
std::string BashCompletion();

}  // namespace skms::provisioning
