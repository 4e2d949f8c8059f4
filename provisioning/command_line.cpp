#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <vector>

#include "provisioning/command.h"
#include "provisioning/failure.h"
#include "provisioning/help.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;

using Words = std::vector<std::string>;

/// The command's words come before its options, but for the common ones, which may stand anywhere.
struct SplitLine {
  Words words;  ///< at most two: group and verb
  Words rest;

  bool Asks(const char* option) const { return std::find(rest.begin(), rest.end(), option) != rest.end(); }
};

constexpr const char* kCommonWithValue[] = {"--config", "--socket", "--url",   "--cert",
                                            "--key",    "--ca",     "--output"};

SplitLine Split(const Words& arguments) {
  SplitLine line;
  bool words_may_come = true;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (words_may_come && argument.rfind('-', 0) != 0 && line.words.size() < 2) {
      line.words.push_back(argument);
      continue;
    }
    line.rest.push_back(argument);
    const bool takes_value = std::find(std::begin(kCommonWithValue), std::end(kCommonWithValue), argument) !=
                             std::end(kCommonWithValue);
    // What follows an option of the command itself may be its value.
    if (!line.words.empty() && !takes_value) words_may_come = false;
    if (takes_value && i + 1 < arguments.size()) line.rest.push_back(arguments[++i]);
  }
  return line;
}

int UsageError(const std::string& message, const std::string& see) {
  std::cerr << DescribeUsageError(message, see);
  return kExitUsage;
}

const Command* FindCommand(const Words& words) {
  for (const Command& command : Commands()) {
    if (words[0] != command.group) continue;
    if (!command.has_verb() || (words.size() > 1 && words[1] == command.verb)) return &command;
  }
  return nullptr;
}

Options Parse(const Command& command, const Words& arguments) {
  OptionsDescription all;
  command.describe(all);
  all.add(CommonOptions());
  po::positional_options_description positional;
  if (command.has_argument()) {
    all.add_options()("argument", po::value<std::string>());
    positional.add("argument", 1);
  }
  // No guessing: an abbreviation that works today may mean another option tomorrow.
  constexpr int kStyle = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  Options options;
  po::store(po::command_line_parser(arguments).options(all).positional(positional).style(kStyle).run(),
            options);
  return options;
}

std::optional<RemoteServer> RemoteFrom(const Options& options) {
  const auto text = [&options](const char* name) {
    return options.count(name) > 0 ? options[name].as<std::string>() : std::string();
  };
  if (options.count("url") == 0) return std::nullopt;
  return RemoteServer{text("url"), text("cert"), text("key"), text("ca")};
}

int RunCommand(const Command& command, const Words& arguments) {
  const std::string see = "skmsctl " + command.name() + " --help";
  Session session;
  Options options = Parse(command, arguments);
  if (options.count("help") > 0) {
    std::cout << CommandHelp(command);
    return kExitOk;
  }
  po::notify(options);
  if (command.has_argument() && options.count("argument") == 0) {
    return UsageError(command.name() + " needs " + command.argument, see);
  }
  const std::string output = options["output"].as<std::string>();
  if (output != "table" && output != "json") return UsageError("--output is table or json", see);
  session.config_path = options["config"].as<std::string>();
  session.json = output == "json";
  if (options.count("socket") > 0) session.socket = options["socket"].as<std::string>();
  session.remote = RemoteFrom(options);
  if (session.remote && !session.socket.empty())
    return UsageError("--url and --socket name two servers; give one", see);
  if (!session.remote && (options.count("cert") + options.count("key") > 0))
    return UsageError("--cert and --key go with --url", see);

  const Status done = command.run(session, options);
  if (done.has_value()) return kExitOk;
  std::cerr << DescribeFailure(done.error(), command.group);
  return ExitCodeFor(done.error().code);
}

int RunWithoutCommand(const SplitLine& line) {
  if (line.Asks("--version")) {
    std::cout << "skmsctl " << SKMS_VERSION << '\n';
    return kExitOk;
  }
  if (line.Asks("--help") || line.Asks("-h")) {
    std::cout << OverviewHelp();
    return kExitOk;
  }
  return UsageError("no command given", "skmsctl --help");
}

int RunGroup(const SplitLine& line) {
  const std::string& group = line.words[0];
  const std::string help = GroupHelp(group);
  if (help.empty()) return UsageError("there is no command '" + group + "'", "skmsctl --help");
  if (line.words.size() == 1 && (line.Asks("--help") || line.Asks("-h"))) {
    std::cout << help;
    return kExitOk;
  }
  const std::string what = line.words.size() == 1
                               ? "'" + group + "' needs a command"
                               : "there is no command '" + group + " " + line.words[1] + "'";
  return UsageError(what, "skmsctl " + group + " --help");
}

}  // namespace

Result<appliance::Configuration> Session::LoadConfiguration() const {
  if (remote)
    return InvalidArgument(
        "this needs the server's own configuration, files or token: run it on that host, without --url");
  return appliance::LoadConfiguration(config_path);
}

Result<std::string> Session::SocketPath() const {
  if (!socket.empty()) return socket;
  SKMS_TRY(const appliance::Configuration configuration, LoadConfiguration());
  return configuration.admin.socket;
}

OptionsDescription CommonOptions() {
  OptionsDescription options("Common options");
  options.add_options()(
      "config",
      po::value<std::string>()->value_name("FILE")->default_value(appliance::kDefaultConfigurationPath),
      "configuration of the daemon")("socket", po::value<std::string>()->value_name("FILE"),
                                     "admin socket, if not the configuration's")(
      "url", po::value<std::string>()->value_name("URL"),
      "a server on another host, https://host[:port] of its section listen_admin; with the three that "
      "follow")("cert", po::value<std::string>()->value_name("FILE"), "who asks there")(
      "key", po::value<std::string>()->value_name("FILE"), "key of that certificate, mode 0600")(
      "ca", po::value<std::string>()->value_name("FILE"),
      "authority of the server's certificate, if not one of this host's")(
      "output", po::value<std::string>()->value_name("table|json")->default_value("table"), "form of output")(
      "help,h", "print help and exit");
  return options;
}

int RunCommandLine(int argc, const char* const* argv) {
  SplitLine line = Split(Words(argv, argv + argc));
  if (line.words.empty()) return RunWithoutCommand(line);
  const Command* command = FindCommand(line.words);
  if (command == nullptr) return RunGroup(line);
  // Where there is no verb, a second word is the command's argument.
  if (!command->has_verb() && line.words.size() > 1) line.rest.insert(line.rest.begin(), line.words[1]);
  try {
    return RunCommand(*command, line.rest);
  } catch (const po::error& error) {
    return UsageError(error.what(), "skmsctl " + command->name() + " --help");
  }
}

}  // namespace skms::provisioning
