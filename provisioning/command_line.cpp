#include <boost/program_options.hpp>
#include <iostream>
#include <vector>

#include "provisioning/command.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;

po::options_description CommonOptions() {
  po::options_description common("Common options");
  common.add_options()("config",
                       po::value<std::string>()->default_value(appliance::kDefaultConfigurationPath),
                       "configuration file")("socket", po::value<std::string>(),
                                             "admin socket (default: the configuration's admin.socket)")(
      "output", po::value<std::string>()->default_value("table"), "table or json")("help,h",
                                                                                   "print help and exit");
  return common;
}

void PrintOverview() {
  std::cout << "Usage: skmsctl [--config FILE] COMMAND [OPTIONS]\n\n"
               "Provisions the SEAL key management server. Commands:\n\n";
  for (const Command& command : Commands()) {
    std::string left =
        command.name() + (*command.argument == '\0' ? "" : std::string(" ") + command.argument);
    left.resize(std::max<std::size_t>(left.size() + 2, 26), ' ');
    std::cout << "  " << left << command.summary << '\n';
  }
  std::cout << "\nskmsctl COMMAND --help shows a command's options and an example. First steps:\n"
               "  skmsctl init\n  skmsctl status\n";
}

void PrintHelp(const Command& command, const po::options_description& own) {
  std::cout << "Usage: skmsctl " << command.name() << (*command.argument == '\0' ? "" : " ")
            << command.argument << " [OPTIONS]\n\n"
            << command.summary << "\n\n";
  if (!own.options().empty()) std::cout << own << '\n';
  std::cout << CommonOptions() << "\nExample:\n  " << command.example << '\n';
}

int UsageError(const std::string& message, const std::string& see) {
  std::cerr << "skmsctl: " << message << "\n  what to do: see " << see << '\n';
  return kExitUsage;
}

const Command* FindCommand(const std::vector<std::string>& words) {
  for (const Command& command : Commands()) {
    if (words.empty() || words[0] != command.group) continue;
    if (*command.verb == '\0' || (words.size() > 1 && words[1] == command.verb)) return &command;
  }
  return nullptr;
}

/// The words before the first option of a command, common options with values skipped.
std::vector<std::string> CommandWords(const std::vector<std::string>& arguments,
                                      std::vector<std::string>& rest) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const bool takes_value = argument == "--config" || argument == "--socket" || argument == "--output";
    if (argument.rfind('-', 0) == 0 || words.size() == 2) {
      rest.push_back(argument);
      if (takes_value && i + 1 < arguments.size()) rest.push_back(arguments[++i]);
    } else {
      words.push_back(argument);
    }
  }
  return words;
}

int Report(const Error& error) {
  std::cerr << "skmsctl: " << error.detail << '\n';
  if (error.code == ErrorCode::kUnauthenticated)
    std::cerr << "  what to do: run as root or as a member of admin.group\n";
  return ExitCodeFor(error.code);
}

int RunCommand(const Command& command, std::vector<std::string> arguments) {
  po::options_description own("Options");
  command.describe(own);
  po::options_description all;
  all.add(own).add(CommonOptions());
  po::positional_options_description positional;
  if (*command.argument != '\0') {
    all.add_options()("argument", po::value<std::string>());
    positional.add("argument", 1);
  }
  po::variables_map options;
  po::store(po::command_line_parser(arguments).options(all).positional(positional).run(), options);
  if (options.count("help") > 0) {
    PrintHelp(command, own);
    return kExitOk;
  }
  po::notify(options);
  const std::string see = "skmsctl " + command.name() + " --help";
  if (*command.argument != '\0' && options.count("argument") == 0) {
    return UsageError(command.name() + " needs " + command.argument, see);
  }
  const std::string output = options["output"].as<std::string>();
  if (output != "table" && output != "json") return UsageError("--output is table or json", see);
  Session session{options["config"].as<std::string>(), "", output == "json"};
  if (options.count("socket") > 0) session.socket = options["socket"].as<std::string>();
  const Status done = command.run(session, options);
  return done.has_error() ? Report(done.error()) : static_cast<int>(kExitOk);
}

}  // namespace

Result<appliance::Configuration> Session::LoadConfiguration() const {
  return appliance::LoadConfiguration(config_path);
}

Result<std::string> Session::SocketPath() const {
  if (!socket.empty()) return socket;
  SKMS_TRY(const appliance::Configuration configuration, LoadConfiguration());
  return configuration.admin.socket;
}

int ExitCodeFor(ErrorCode code) {
  switch (code) {
    case ErrorCode::kConfiguration:
    case ErrorCode::kIo:
    case ErrorCode::kStorage:
    case ErrorCode::kNewerSchema:
    case ErrorCode::kIntegrity:
      return kExitConfiguration;
    case ErrorCode::kResourceExhausted:
      return kExitUnreachable;
    case ErrorCode::kTokenUnavailable:
    case ErrorCode::kTokenNotFound:
    case ErrorCode::kTokenAmbiguous:
    case ErrorCode::kTokenBlank:
    case ErrorCode::kToken:
    case ErrorCode::kPinIncorrect:
    case ErrorCode::kUnsupported:
      return kExitToken;
    case ErrorCode::kNotFound:
      return kExitNotFound;
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kConflict:
      return kExitConflict;
    default:
      return kExitFailed;
  }
}

int RunCommandLine(int argc, const char* const* argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  std::vector<std::string> rest;
  const std::vector<std::string> words = CommandWords(arguments, rest);
  const auto asks = [&](const char* option) {
    return std::find(rest.begin(), rest.end(), option) != rest.end();
  };
  if (words.empty() && asks("--version")) {
    std::cout << "skmsctl " << SKMS_VERSION << '\n';
    return kExitOk;
  }
  if (words.empty()) {
    if (rest.empty() || asks("--help") || asks("-h")) {
      PrintOverview();
      return rest.empty() ? kExitUsage : kExitOk;
    }
    return UsageError("no command given", "skmsctl --help");
  }
  const Command* command = FindCommand(words);
  if (command == nullptr) {
    std::string verbs;
    for (const Command& other : Commands()) {
      if (words[0] == other.group) verbs += (verbs.empty() ? "" : ", ") + other.name();
    }
    if (!verbs.empty() && (asks("--help") || asks("-h"))) {
      std::cout << "Commands: " << verbs << "\nskmsctl COMMAND --help shows more.\n";
      return kExitOk;
    }
    const std::string given = words[0] + (words.size() > 1 ? " " + words[1] : "");
    return UsageError(
        verbs.empty() ? "there is no command '" + given + "'" : "'" + given + "' is none of: " + verbs,
        "skmsctl --help");
  }
  // A second word that is no verb is the command's argument.
  if (*command->verb == '\0' && words.size() > 1) rest.insert(rest.begin(), words[1]);
  try {
    return RunCommand(*command, rest);
  } catch (const po::error& error) {
    return UsageError(error.what(), "skmsctl " + command->name() + " --help");
  }
}

}  // namespace skms::provisioning
