#include "provisioning/help.h"

#include <algorithm>
#include <sstream>

#include "provisioning/manual.h"

namespace skms::provisioning {
namespace {

constexpr std::size_t kSummaryColumn = 26;

std::string Invocation(const Command& command) {
  return command.name() + (command.has_argument() ? std::string(" ") + command.argument : "");
}

std::string SummaryLine(const Command& command) {
  std::string left = "  " + Invocation(command);
  left.resize(std::max(left.size() + 2, kSummaryColumn), ' ');
  return left + command.summary + '\n';
}

}  // namespace

std::string OverviewHelp() {
  std::string text =
      "Usage: skmsctl COMMAND [ID] [OPTIONS]\n\n"
      "Provisions the SEAL key management server of this host.\n\nCommands:\n";
  for (const Command& command : Commands()) text += SummaryLine(command);
  std::ostringstream common;
  OptionsDescription options = CommonOptions();
  options.add_options()("version", "print the version and exit");
  common << options;
  text += "\n" + common.str() +
          "\nskmsctl COMMAND --help shows a command's options and an example. First steps:\n"
          "  skmsctl token probe\n  skmsctl init\n  skmsctl status\n\nExit codes:\n";
  for (const manual::Entry& code : Manual().exit_codes) text += "  " + code.term + "  " + code.text + '\n';
  return text;
}

std::string GroupHelp(const std::string& group) {
  std::string text;
  std::string example;
  for (const Command& command : Commands()) {
    if (group != command.group) continue;
    text += SummaryLine(command);
    if (example.empty()) example = command.example;
  }
  if (text.empty()) return text;
  return "Usage: skmsctl " + group + " COMMAND [ID] [OPTIONS]\n\nCommands:\n" + text + "\nExample:\n  " +
         example + "\n\nskmsctl " + group + " COMMAND --help shows a command's options.\n";
}

std::string CommandHelp(const Command& command) {
  OptionsDescription own("Options");
  command.describe(own);
  std::ostringstream text;
  text << "Usage: skmsctl " << Invocation(command) << " [OPTIONS]\n\n" << command.summary << "\n\n";
  if (!own.options().empty()) text << own << '\n';
  text << CommonOptions() << "\nExample:\n  " << command.example << '\n';
  return text.str();
}

}  // namespace skms::provisioning
