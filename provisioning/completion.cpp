#include "provisioning/completion.h"

#include <algorithm>
#include <boost/program_options/errors.hpp>
#include <iostream>
#include <map>
#include <sstream>
#include <vector>

#include "provisioning/commands.h"

namespace skms::provisioning {
namespace {

/// What completes the value of an option: "FILE", "a|b|c", or nothing.
std::map<std::string, std::string> ValuedOptions() {
  OptionsDescription all;
  for (const Command& command : Commands()) command.describe(all);
  all.add(CommonOptions());
  std::map<std::string, std::string> valued;
  for (const auto& option : all.options()) {
    if (option->semantic()->max_tokens() > 0) valued["--" + option->long_name()] = option->semantic()->name();
  }
  return valued;
}

std::string Flags(const Command& command) {
  OptionsDescription all;
  command.describe(all);
  all.add(CommonOptions());
  std::string flags;
  for (const auto& option : all.options()) flags += (flags.empty() ? "--" : " --") + option->long_name();
  return flags;
}

/// The name stands in brackets and a default behind it: "table|json (=table)".
std::string Choices(std::string value_name) {
  value_name = value_name.substr(0, value_name.find(" ("));
  value_name.erase(std::remove(value_name.begin(), value_name.end(), '['), value_name.end());
  if (value_name.find('|') == std::string::npos) return "";
  std::replace(value_name.begin(), value_name.end(), '|', ' ');
  return value_name;
}

void WriteValues(std::ostream& out, const std::map<std::string, std::string>& valued) {
  out << "  case $prev in\n";
  for (const auto& [option, value_name] : valued) {
    out << "    " << option << ") ";
    if (value_name.rfind("FILE", 0) == 0) {
      out << "COMPREPLY=($(compgen -f -- \"$cur\")); ";
    } else if (const std::string choices = Choices(value_name); !choices.empty()) {
      out << "COMPREPLY=($(compgen -W '" << choices << "' -- \"$cur\")); ";
    }
    out << "return ;;\n";
  }
  out << "  esac\n";
}

void WriteWords(std::ostream& out) {
  std::map<std::string, std::string> verbs;
  for (const Command& command : Commands()) {
    std::string& known = verbs[command.group];
    // A command without verb completes its argument, where that is one of a few words.
    const std::string word = command.has_verb() ? command.verb : Choices(std::string(command.argument) + "|");
    if (!word.empty()) known += (known.empty() ? "" : " ") + word;
  }
  std::string groups;
  for (const auto& [group, words] : verbs) groups += (groups.empty() ? "" : " ") + group;
  out << "  if ((${#words[@]} == 0)); then\n"
         "    COMPREPLY=($(compgen -W '"
      << groups
      << " --help --version' -- \"$cur\")); return\n"
         "  fi\n"
         "  if ((${#words[@]} == 1)) && [[ $cur != -* ]]; then\n"
         "    case ${words[0]} in\n";
  for (const auto& [group, words] : verbs) {
    if (words.find_first_not_of(' ') != std::string::npos)
      out << "      " << group << ") COMPREPLY=($(compgen -W '" << words << "' -- \"$cur\")); return ;;\n";
  }
  out << "    esac\n"
         "  fi\n";
}

}  // namespace

std::string BashCompletion() {
  const auto valued = ValuedOptions();
  std::string all_valued;
  for (const auto& [option, value_name] : valued) all_valued += (all_valued.empty() ? "" : "|") + option;
  std::ostringstream script;
  script << "# bash completion for skmsctl; made by: skmsctl completion bash\n"
            "_skmsctl() {\n"
            "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=() flags='' i\n"
            "  COMPREPLY=()\n"
            "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
            "    case ${COMP_WORDS[i]} in\n"
            "      "
         << all_valued
         << ") ((++i)) ;;\n"
            "      -*) ;;\n"
            "      *) words+=(\"${COMP_WORDS[i]}\") ;;\n"
            "    esac\n"
            "  done\n";
  WriteValues(script, valued);
  WriteWords(script);
  script << "  case \"${words[0]} ${words[1]:-}\" in\n";
  for (const Command& command : Commands()) {
    script << "    '" << command.name() << "'" << (command.has_verb() ? "" : "\\ *") << ") flags='"
           << Flags(command) << "' ;;\n";
  }
  script << "  esac\n"
            "  [[ $cur == -* ]] && COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
            "  return 0\n"
            "}\n"
            "complete -F _skmsctl skmsctl\n";
  return script.str();
}

Status RunCompletion(const Session& /*session*/, const Options& options) {
  const std::string shell = options["argument"].as<std::string>();
  if (shell != "bash") throw boost::program_options::error("there is completion for bash only");
  std::cout << BashCompletion();
  return Ok();
}

}  // namespace skms::provisioning
