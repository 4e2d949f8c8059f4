#include "appliance/manual.h"

#include <boost/program_options/value_semantic.hpp>
#include <sstream>

#include "appliance/appliance.h"

namespace skms::appliance {
namespace {

namespace po = boost::program_options;

constexpr const char* kCheck = "skmsd --config /etc/skms/skms.yaml --check-config";

std::string Code(ExitCode code) { return std::to_string(static_cast<int>(code)); }

std::vector<manual::Entry> ExitCodes() {
  return {{Code(kExitStopped), "stopped by SIGTERM or SIGINT, or --check-config found nothing wrong"},
          {Code(kExitFailed), "failed while running"},
          {Code(kExitUsage), "the command line is wrong"},
          {Code(kExitConfiguration),
           "the configuration, a file or the database; also a database of a newer version"},
          {Code(kExitToken), "the token"},
          {Code(kExitPin), "the token refused the PIN, which was tried once; mend it before starting again"}};
}

std::vector<manual::Entry> Files() {
  return {{kDefaultConfigurationPath, "configuration; unknown keys are refused with line and column"},
          {"/var/lib/skms/skms.db", "the database"},
          {"/var/lib/skms/skms.db.schema-N",
           "the database as it was before an upgrade brought it from version N to a later one"},
          {"/run/skms", "sockets of administrators and of the edge"},
          {"/etc/credstore.encrypted/skms-pin", "the token's PIN, which the unit loads as a credential"}};
}

}  // namespace

manual::Program Manual() {
  manual::Program program;
  program.name = "skmsd";
  program.section = 8;
  program.version = kVersion;
  program.title = "SEAL key management server";
  program.synopsis = {"[--config FILE] [--check-config]",
                      "--help | --version | --manual | --completion SHELL"};
  program.description = {
      "skmsd is the key management server (SKM-S) of 3GPP's Service Enabler Architecture Layer (TS 23.434 "
      "clause 13, TS 33.434, TS 29.549): it generates, keeps, rotates and hands out key material for "
      "vertical applications over KM-S, SEAL-X1 and KM-UU. Every key is generated and wrapped inside a "
      "PKCS#11 token.",
      "It runs in the foreground, as systemd has it, under a user of its own, and logs to standard error. A "
      "database of an older version is copied, then brought to its own at the start; one of a newer version "
      "is refused and left alone."};
  program.options.add_options()(
      "config", po::value<std::string>()->value_name("FILE")->default_value(kDefaultConfigurationPath),
      "configuration file")("check-config", "read the configuration, say what is wrong, and exit")(
      "manual", "print the man page and exit")("completion", po::value<std::string>()->value_name("bash|zsh"),
                                               "print the completion script for a shell and exit")(
      "version", "print the version and exit")("help,h", "print this text and exit");
  program.exit_codes = ExitCodes();
  program.files = Files();
  program.environment = {
      {"CREDENTIALS_DIRECTORY", "where systemd puts the credential skms-pin"},
      {"LISTEN_FDS, NOTIFY_SOCKET, WATCHDOG_USEC", "sockets, readiness and watchdog of systemd"}};
  program.examples = {{kCheck, "is the configuration right?"},
                      {"systemctl enable --now skmsd-admin.socket skmsd", "serve, from now on"}};
  program.see_also = {"skmsctl(8)", "skmc(1)", "systemd-creds(1)", "haproxy(1)"};
  return program;
}

std::string Help() {
  const manual::Program program = Manual();
  std::ostringstream text;
  text << "Usage: skmsd " << program.synopsis.front()
       << "\n\nThe SEAL key management server (3GPP TS 23.434 clause 13).\n\nOptions:\n"
       << program.options << "\nExample:\n  " << kCheck << "\n\nExit codes:\n";
  for (const manual::Entry& code : program.exit_codes) text << "  " << code.term << "  " << code.text << '\n';
  return text.str();
}

}  // namespace skms::appliance
