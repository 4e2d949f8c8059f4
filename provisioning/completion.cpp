#include <iostream>
#include <map>
#include <sstream>
#include <vector>

#include "provisioning/commands.h"

namespace skms::provisioning {

std::string BashCompletion() {
  std::map<std::string, std::string> verbs;
  std::ostringstream options;
  for (const Command& command : Commands()) {
    std::string& known = verbs[command.group];
    if (*command.verb != '\0') known += (known.empty() ? "" : " ") + std::string(command.verb);
    OptionsDescription own;
    command.describe(own);
    std::string flags = "--config --socket --output --help";
    for (const auto& option : own.options()) flags += " --" + option->long_name();
    options << "    '" << command.name() << "') flags='" << flags << "' ;;\n";
  }
  std::ostringstream script;
  std::string groups;
  for (const auto& [group, words] : verbs) groups += (groups.empty() ? "" : " ") + group;
  script << "# bash completion for skmsctl; made by: skmsctl completion bash\n"
            "_skmsctl() {\n"
            "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word words=() flags=''\n"
            "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do [[ $word == -* ]] || words+=(\"$word\"); "
            "done\n"
            "  case $prev in\n"
            "    --output) COMPREPLY=($(compgen -W 'table json' -- \"$cur\")); return ;;\n"
            "    --profile) COMPREPLY=($(compgen -W 'aes-128 aes-256 hmac-sha256 ec-p256' -- \"$cur\")); "
            "return ;;\n"
            "    --delivery) COMPREPLY=($(compgen -W 'wrapped tls' -- \"$cur\")); return ;;\n"
            "    --config|--certificate|--public-key|--transport-key|--jwks|--socket)\n"
            "      COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
            "  esac\n"
            "  if ((${#words[@]} == 0)); then\n"
            "    COMPREPLY=($(compgen -W '"
         << groups
         << " --config --socket --output --help --version' -- \"$cur\")); return\n"
            "  fi\n"
            "  if ((${#words[@]} == 1)) && [[ $cur != -* ]]; then\n"
            "    case ${words[0]} in\n";
  for (const auto& [group, words] : verbs) {
    const std::string offered = group == "completion" ? "bash" : words;
    script << "    " << group << ") COMPREPLY=($(compgen -W '" << offered << "' -- \"$cur\")); return ;;\n";
  }
  script << "    esac\n"
            "  fi\n"
            "  case \"${words[0]} ${words[1]:-}\" in\n";
  std::string line;
  std::istringstream lines(options.str());
  while (std::getline(lines, line)) script << line << '\n';
  script << "    'init '*) flags='--config --help' ;;\n"
            "    'status '*) flags='--config --socket --output --help' ;;\n"
            "  esac\n"
            "  COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
            "}\n"
            "complete -F _skmsctl skmsctl\n";
  return script.str();
}

Status RunCompletion(const Session& /*session*/, const Options& options) {
  if (options["argument"].as<std::string>() != "bash") return InvalidArgument("only bash is known");
  std::cout << BashCompletion();
  return Ok();
}

}  // namespace skms::provisioning
