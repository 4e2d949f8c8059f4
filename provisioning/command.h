// Command: one sub-command of skmsctl, as a row of one table that help, parsing and completion all read.
//
// Plain constants and functions; one thread. Nothing secret is ever an option's value: only names of files.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <optional>
#include <span>
#include <string>

#include "appliance/config/configuration.h"
#include "base/result.h"
#include "provisioning/remote_server.h"

namespace skms::provisioning {

/// What every command gets besides its own options.
struct Session {
  std::string config_path;
  std::string socket;                  ///< empty: from the configuration
  std::optional<RemoteServer> remote;  ///< in place of the socket
  bool json = false;

  /// Also kInvalidArgument where the server is another host's.

  Result<appliance::Configuration> LoadConfiguration() const;
  Result<std::string> SocketPath() const;
};

using Options = boost::program_options::variables_map;
using OptionsDescription = boost::program_options::options_description;

struct Command {
  const char* group;     ///< "service", or "init" for a command without verb
  const char* verb;      ///< "add", or "" for a command without verb
  const char* argument;  ///< name of the one positional argument, e.g. "ID"; "" for none
  const char* summary;
  const char* example;
  void (*describe)(OptionsDescription& options);
  Status (*run)(const Session& session, const Options& options);

  bool has_verb() const { return *verb != '\0'; }
  bool has_argument() const { return *argument != '\0'; }
  std::string name() const { return std::string(group) + (has_verb() ? std::string(" ") + verb : ""); }
};

std::span<const Command> Commands();

/// --config, --socket, --url and what goes with it, --output, --help. The name of an option's value says what
/// completes it: FILE, or the choices divided by "|".
OptionsDescription CommonOptions();

/// Runs a whole command line (without the program's name). Writes to standard output and standard error;
/// returns an exit code of provisioning/failure.h.
int RunCommandLine(int argc, const char* const* argv);

}  // namespace skms::provisioning
