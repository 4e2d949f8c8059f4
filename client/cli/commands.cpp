#include "client/cli/commands.h"

#include <algorithm>
#include <iostream>

#include "client/cli/conform_command.h"
#include "client/cli/get_command.h"
#include "client/cli/provision_command.h"
#include "client/cli/receipt_command.h"

namespace skms::client {
namespace {

constexpr int kExitDone = 0;

void NoOptions(Options& /*options*/) {}

int RunCompletion(const Given& given) {
  const std::string script = manual::CompletionFor(Manual(), given["argument"].as<std::string>());
  if (script.empty())
    return Complain("there is completion for bash and zsh", "skmc completion --help", kExitUsage);
  std::cout << script;
  return kExitDone;
}

int RunManual(const Given& /*given*/) {
  std::cout << manual::ManPage(Manual());
  return kExitDone;
}

constexpr Command kCommands[] = {
    {"get", "",
     "--url URL --service ID [--user ID | --ue ID [--group ID]] --ca FILE --cert FILE --key FILE "
     "--token-file FILE [OPTIONS]",
     "Fetch a key, or a provisioned payload, over KM-S, as a VAL server, and open it.", "",
     "skmc get --url https://localhost:8443 --service uav.c2 --ca ca.pem --cert val-1.pem --key val-1.key "
     "--token-file token",
     "", &DescribeGet, &RunGet},
    {"request", "",
     "--url URL --service ID [--user ID | --ue ID | --client ID] --ca FILE --token-file FILE "
     "[--bound-key FILE | --recipient-key FILE] [OPTIONS]",
     "Ask for a key, or a payload, over KM-UU, as a UE's key management client, and open it.", "",
     "skmc request --url https://localhost:8444 --service uav.c2 --user alice --ca ca.pem "
     "--token-file token --bound-key ue.key",
     "", &DescribeRequest, &RunRequest},
    {"provision", "",
     "--url URL --service ID [--user ID | --ue ID] --payload-file FILE --ca FILE --cert FILE --key FILE "
     "--token-file FILE [OPTIONS]",
     "Store a payload for those who may retrieve it.", "The access token needs the claim SKeyProv.",
     "skmc provision --url https://localhost:8443 --service uav.c2 --payload-file mission.json "
     "--ca ca.pem --cert val-1.pem --key val-1.key --token-file token",
     "", &DescribeProvision, &RunProvision},
    {"conform", "", "--url URL --service ID --ca FILE --cert FILE --key FILE --token-file FILE [OPTIONS]",
     "Try a server against the standard, case by case.",
     "It asks what TS 29.549, TS 33.434, TS 29.122 and TS 29.500 want answered, and says of each case "
     "whether it is. What is not given leaves cases out: they are told as skipped. Keys are made where the "
     "server makes them on request.",
     "skmc conform --url https://localhost:8443 --service uav.c2 --ca ca.pem --cert val-1.pem "
     "--key val-1.key --token-file token --json report.json",
     "list", &DescribeConform, &RunConform},
    {"discover", "", "--url URL --ca FILE [--cert FILE --key FILE]",
     "Print names, APIs and keys of a server.", "They are what it says of itself (GET /.well-known/skms).",
     "skmc discover --url https://localhost:8443 --ca ca.pem", "", &DescribeDiscover, &RunDiscover},
    {"receipt", "FILE", "--public-key FILE",
     "Verify a receipt that get or request kept, and print what it says.",
     "It is a JWS by the server's token, and names the entry of the audit chain that was written before the "
     "answer went "
     "out: skmsctl audit verify --receipt finds it there.",
     "skmc receipt val-1.receipt --public-key audit.pem", "", &DescribeReceipt, &RunReceipt},
    {"completion", "bash|zsh", "", "Print the completion script for a shell.", "", "skmc completion bash", "",
     &NoOptions, &RunCompletion},
    {"manual", "", "", "Print the man page.", "", "skmc manual | man -l -", "", &NoOptions, &RunManual},
};

std::vector<manual::Entry> ExitCodes() {
  return {{std::to_string(kExitDone), "done"},
          {std::to_string(kExitRefused), "the server refused, or a case of conform failed"},
          {std::to_string(kExitUsage), "the command line is wrong"},
          {std::to_string(kExitFile), "a file"},
          {std::to_string(kExitNetwork), "network or TLS"},
          {std::to_string(kExitClosed), "the answer is not for what was asked, or does not open"}};
}

}  // namespace

std::span<const Command> Commands() { return kCommands; }

manual::Program Manual() {
  manual::Program program;
  program.name = "skmc";
  program.section = 1;
  program.version = SKMS_VERSION;
  program.title = "fetch and open keys of a SEAL key management server";
  program.synopsis = {"COMMAND [OPTIONS]", "COMMAND --help", "--help | --version"};
  program.description = {
      "skmc is the key management client of 3GPP's Service Enabler Architecture Layer (TS 33.434, TS "
      "29.549): it fetches keys and provisioned payloads over KM-S, as a VAL server, or over KM-UU, as a UE, "
      "and opens them; stores payloads; and tries any server against the standard.",
      "Access tokens and private keys come from files that others cannot read, or are refused. What is "
      "fetched goes to standard output, or with --out to a file of mode 0600. It trusts the CA that it is "
      "given and no other, and leaves no core."};
  for (const Command& command : kCommands) {
    manual::Command entry{command.name, command.argument, command.usage, command.summary,
                          command.text, command.example,  Options()};
    command.describe(entry.options);
    program.commands.push_back(std::move(entry));
  }
  program.options.add_options()("help,h", "print this text and exit");
  program.exit_codes = ExitCodes();
  program.examples = {{"skmc get --url https://localhost:8443 --service uav.c2 --ca ca.pem --cert val-1.pem "
                       "--key val-1.key --token-file token --info",
                       "what is known of a key, without opening it"},
                      {"skmc conform --list", "the cases, with the clauses that they are from"}};
  program.see_also = {"skmsd(8)", "skmsctl(8)", "curl(1)"};
  return program;
}

std::string OverviewHelp() {
  constexpr std::size_t kSummaryColumn = 14;
  std::string text =
      "Usage: skmc COMMAND [OPTIONS]\n\nThe SEAL key management client (3GPP TS 33.434, TS 29.549).\n\n"
      "Commands:\n";
  for (const Command& command : kCommands) {
    std::string left = std::string("  ") + command.name;
    left.resize(std::max(left.size() + 2, kSummaryColumn), ' ');
    text += left + command.summary + '\n';
  }
  text += "\nskmc COMMAND --help tells a command's options.\n\nExit codes:\n";
  for (const manual::Entry& code : ExitCodes()) text += "  " + code.term + "  " + code.text + '\n';
  return text;
}

}  // namespace skms::client
