#include "provisioning/manual.h"

#include "provisioning/command.h"
#include "provisioning/failure.h"

namespace skms::provisioning {
namespace {

std::string Code(ExitCode code) { return std::to_string(static_cast<int>(code)); }

std::vector<manual::Entry> ExitCodes() {
  return {{Code(kExitOk), "done"},
          {Code(kExitFailed), "the daemon refused the request, or failed"},
          {Code(kExitUsage), "the command line is wrong"},
          {Code(kExitConfiguration), "the configuration, a file or the database"},
          {Code(kExitUnreachable), "the daemon does not answer, or is too busy"},
          {Code(kExitToken), "token or PIN; also a token that fails the probe"},
          {Code(kExitNotFound), "what was named does not exist"},
          {Code(kExitConflict), "it exists already, or is in use"}};
}

std::vector<manual::Entry> Files() {
  return {
      {appliance::kDefaultConfigurationPath, "configuration of the daemon, which tells where the rest is"},
      {"/run/skms/admin.sock",
       "the daemon's admin socket: for root, the daemon's user and members of admin.group"},
      {"/var/lib/skms/skms.db", "the database; only init touches it, while the daemon does not run"},
      {"/etc/skms/edge", "what edge config writes for HAProxy"}};
}

std::vector<manual::Entry> FirstSteps() {
  return {{"skmsctl token probe", "is this token fit?"},
          {"skmsctl init", "token keys and database, as the daemon's user and before its first start"},
          {"skmsctl issuer add sim-s --issuer https://sim-s.example --audience skms --jwks sim-s.jwks.json",
           "whose access tokens count"},
          {"skmsctl principal add val-1 --certificate val-1.pem", "a VAL server, by its client certificate"},
          {"skmsctl service add uav.c2 --profile aes-256 --scope service,user --reader val-1",
           "a service, and who may read its keys"},
          {"skmsctl key list --service uav.c2 --output json", "for programs"}};
}

}  // namespace

manual::Program Manual() {
  manual::Program program;
  program.name = "skmsctl";
  program.section = 8;
  program.version = SKMS_VERSION;
  program.title = "provision the SEAL key management server of this host";
  program.synopsis = {"COMMAND [ID] [OPTIONS]", "COMMAND --help", "--help | --version"};
  program.description = {
      "skmsctl is the administrator's program: services and who may read their keys, principals, issuers of "
      "access tokens, the "
      "life of keys, tokens and their keys, the audit chain.",
      "It speaks to the running daemon over the admin socket. Only init, edge config, token probe, token "
      "prepare, the commands of "
      "the security officer (recipient trust, recipient distrust, token make-strict-kek), audit "
      "verify --file, completion and manual work without it.",
      "No PIN and no key is ever an argument, an environment variable or output: they are files, and files "
      "that others can read "
      "are refused; the PIN of an attended token is asked for on the terminal. An error is two lines on "
      "standard error: what went wrong, and what to do."};
  for (const Command& command : Commands()) {
    manual::Command entry{command.name(),  command.argument,    "", command.summary, "",
                          command.example, OptionsDescription()};
    command.describe(entry.options);
    program.commands.push_back(std::move(entry));
  }
  program.options.add(CommonOptions());
  program.exit_codes = ExitCodes();
  program.files = Files();
  program.examples = FirstSteps();
  program.see_also = {"skmsd(8)", "skmc(1)", "haproxy(1)", "systemd-creds(1)"};
  return program;
}

}  // namespace skms::provisioning
