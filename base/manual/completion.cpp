#include <map>
#include <set>
#include <sstream>

#include "base/manual/option_parts.h"
#include "base/manual/program.h"

namespace skms::manual {
namespace {

std::vector<OptionParts> AllOptions(const Program& program, const Command& command) {
  std::vector<OptionParts> all = PartsOf(command.options);
  for (OptionParts& common : PartsOf(program.options)) all.push_back(std::move(common));
  return all;
}

/// Options of any command whose value is the next word.
std::map<std::string, OptionParts> ValuedOptions(const Program& program) {
  std::map<std::string, OptionParts> valued;
  const auto take = [&valued](const OptionsDescription& options) {
    for (const OptionParts& option : PartsOf(options))
      if (!option.value.empty() && !option.optional_value) valued["--" + option.long_name] = option;
  };
  for (const Command& command : program.commands) take(command.options);
  take(program.options);
  return valued;
}

std::string Joined(const std::vector<std::string>& words, const char* between = " ") {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : between) + word;
  return all;
}

std::string ValuedPattern(const Program& program) {
  std::vector<std::string> names;
  for (const auto& [name, option] : ValuedOptions(program)) names.push_back(name);
  return Joined(names, "|");
}

std::string Flags(const std::vector<OptionParts>& options) {
  std::vector<std::string> flags;
  flags.reserve(options.size());
  for (const OptionParts& option : options) flags.push_back("--" + option.long_name);
  return Joined(flags);
}

std::string FirstWord(const std::string& name) { return name.substr(0, name.find(' ')); }
std::string SecondWord(const std::string& name) {
  const std::size_t blank = name.find(' ');
  return blank == std::string::npos ? "" : name.substr(blank + 1);
}

/// For each first word what may follow: verbs, or the argument's choices.
std::map<std::string, std::vector<std::string>> SecondWords(const Program& program) {
  std::map<std::string, std::vector<std::string>> words;
  for (const Command& command : program.commands) {
    std::vector<std::string>& known = words[FirstWord(command.name)];
    const std::string verb = SecondWord(command.name);
    if (!verb.empty()) {
      known.push_back(verb);
    } else {
      known = SplitChoices(command.argument);
    }
  }
  return words;
}

void WriteBashValues(std::ostream& out, const Program& program) {
  out << "  case $prev in\n";
  for (const auto& [name, option] : ValuedOptions(program)) {
    out << "    " << name << ") ";
    if (option.takes_file()) {
      out << "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); compopt -o filenames 2>/dev/null; ";
    } else if (const auto choices = option.Choices(); !choices.empty()) {
      out << "mapfile -t COMPREPLY < <(compgen -W '" << Joined(choices) << "' -- \"$cur\"); ";
    }
    out << "return 0 ;;\n";
  }
  out << "  esac\n";
}

void WriteBashWords(std::ostream& out, const Program& program) {
  const auto seconds = SecondWords(program);
  std::vector<std::string> firsts;
  firsts.reserve(seconds.size());
  for (const auto& [first, words] : seconds) firsts.push_back(first);
  out << "  if ((${#words[@]} == 0)); then\n    mapfile -t COMPREPLY < <(compgen -W '" << Joined(firsts)
      << " --help --version' -- \"$cur\"); return 0\n  fi\n"
         "  if ((${#words[@]} == 1)) && [[ $cur != -* ]]; then\n    case ${words[0]} in\n";
  for (const auto& [first, words] : seconds) {
    if (words.empty()) continue;
    out << "      " << first << ") mapfile -t COMPREPLY < <(compgen -W '" << Joined(words)
        << "' -- \"$cur\"); return 0 ;;\n";
  }
  out << "    esac\n  fi\n";
}

void WriteBashFlags(std::ostream& out, const Program& program) {
  if (program.commands.empty()) {
    out << "  flags='" << Flags(PartsOf(program.options)) << "'\n";
    return;
  }
  out << "  case \"${words[0]} ${words[1]:-}\" in\n";
  for (const Command& command : program.commands) {
    const bool verb = !SecondWord(command.name).empty();
    out << "    '" << command.name << "'" << (verb ? "" : "\\ *") << ") flags='"
        << Flags(AllOptions(program, command)) << "' ;;\n";
  }
  out << "  esac\n";
}

/// Between single quotes, in a word that zsh's _arguments and _describe take apart at colons and brackets.
std::string ZshText(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      if (c == ':' || c == '[' || c == ']' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

std::string ZshOption(const OptionParts& option) {
  std::string text = "'";
  if (option.repeated) text += "*";
  text += "--" + option.long_name;
  if (!option.value.empty()) text += "=";
  text += "[" + ZshText(option.description) + "]";
  if (option.value.empty()) return text + "'";
  text += (option.optional_value ? "::" : ":") + ZshText(option.value) + ":";
  if (option.takes_file()) text += "_files";
  if (const auto choices = option.Choices(); !choices.empty()) text += "(" + Joined(choices) + ")";
  return text + "'";
}

void WriteZshDescriptions(std::ostream& out, const std::vector<Entry>& entries, const char* indent) {
  for (const Entry& entry : entries)
    out << indent << "'" << ZshText(entry.term) << ":" << ZshText(entry.text) << "'\n";
}

void WriteZshWords(std::ostream& out, const Program& program) {
  std::vector<Entry> firsts;
  std::map<std::string, std::vector<Entry>> verbs;
  std::set<std::string> seen;
  for (const Command& command : program.commands) {
    const std::string first = FirstWord(command.name);
    const std::string verb = SecondWord(command.name);
    if (!verb.empty()) verbs[first].push_back({verb, command.summary});
    if (seen.insert(first).second)
      firsts.push_back({first, verb.empty() ? command.summary : "commands of " + first});
  }
  out << "  if (( ${#found} == 0 )) && [[ $PREFIX != -* ]]; then\n    offered=(\n";
  WriteZshDescriptions(out, firsts, "      ");
  out << "    )\n    _describe -t commands command offered\n    return\n  fi\n";
  if (verbs.empty()) return;
  out << "  if (( ${#found} == 1 )) && [[ $PREFIX != -* ]]; then\n    case $found[1] in\n";
  for (const auto& [first, entries] : verbs) {
    out << "      (" << first << ")\n        offered=(\n";
    WriteZshDescriptions(out, entries, "          ");
    out << "        )\n        _describe -t commands '" << first << " command' offered\n        return ;;\n";
  }
  out << "    esac\n  fi\n";
}

void WriteZshArguments(std::ostream& out, const std::vector<OptionParts>& options,
                       const std::string& positional, const char* indent) {
  out << "_arguments -s -S" << positional;
  for (const OptionParts& option : options) out << " \\\n" << indent << ZshOption(option);
}

/// The words of a command's name are there already; behind them stands its argument, if it has one.
std::string ZshPositional(const Command& command) {
  std::string words = " '1: :'";
  if (!SecondWord(command.name).empty()) words += " '2: :'";
  if (command.argument.empty()) return words;
  const auto choices = SplitChoices(command.argument);
  return words + " ':" + ZshText(command.argument) + ":" +
         (choices.empty() ? "" : "(" + Joined(choices) + ")") + "'";
}

void WriteZshCommands(std::ostream& out, const Program& program) {
  out << "  case \"$found[1] $found[2]\" in\n";
  for (const Command& command : program.commands) {
    const bool verb = !SecondWord(command.name).empty();
    out << "    (" << (verb ? "'" + command.name + "'" : "'" + command.name + " '*") << ")\n      ";
    WriteZshArguments(out, AllOptions(program, command), ZshPositional(command), "        ");
    out << "\n      return ;;\n";
  }
  out << "  esac\n  ";
  WriteZshArguments(out, PartsOf(program.options), " '--version[print the version and exit]'", "    ");
  out << '\n';
}

}  // namespace

std::string BashCompletion(const Program& program) {
  std::ostringstream script;
  script
      << "# bash completion for " << program.name << ", made by the program itself.\n_" << program.name
      << "() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=() flags='' i\n"
         "  COMPREPLY=()\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n    case ${COMP_WORDS[i]} in\n      "
      << ValuedPattern(program)
      << ") ((++i)) ;;\n      -*) ;;\n      *) words+=(\"${COMP_WORDS[i]}\") ;;\n    esac\n  done\n";
  WriteBashValues(script, program);
  if (!program.commands.empty()) WriteBashWords(script, program);
  WriteBashFlags(script, program);
  script << "  [[ $cur == -* ]] && mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$cur\")\n  return "
            "0\n}\ncomplete -F _"
         << program.name << ' ' << program.name << '\n';
  return script.str();
}

std::string ZshCompletion(const Program& program) {
  std::ostringstream script;
  script << "#compdef " << program.name << "\n# zsh completion for " << program.name
         << ", made by the program itself.\n_" << program.name << "() {\n";
  if (program.commands.empty()) {
    script << "  ";
    WriteZshArguments(script, PartsOf(program.options), "", "    ");
    script << '\n';
  } else {
    script << "  local -a found offered\n  local -i i\n"
              "  for ((i = 2; i < CURRENT; ++i)); do\n    case $words[i] in\n      ("
           << ValuedPattern(program)
           << ") (( ++i )) ;;\n      (-*) ;;\n      (*) found+=(\"$words[i]\") ;;\n    esac\n  done\n";
    // Where the word before wants a value it is that which is completed, whatever words are there.
    script << "  if [[ $words[CURRENT-1] != (" << ValuedPattern(program) << ") ]]; then\n";
    WriteZshWords(script, program);
    script << "  fi\n";
    WriteZshCommands(script, program);
  }
  script << "}\n# As a file of fpath it is called at once; sourced, it says for what it is.\n"
            "if [[ $funcstack[1] == _"
         << program.name << " ]]; then _" << program.name << " \"$@\"; else compdef _" << program.name << ' '
         << program.name << "; fi\n";
  return script.str();
}

std::string CompletionFor(const Program& program, const std::string& shell) {
  if (shell == "bash") return BashCompletion(program);
  if (shell == "zsh") return ZshCompletion(program);
  return "";
}

}  // namespace skms::manual
