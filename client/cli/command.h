// What skmc's commands share: options, complaints, secrets from files, output.
#pragma once

#include <boost/program_options.hpp>
#include <string>

#include "base/result.h"
#include "base/secret_bytes.h"
#include "client/key_management_client.h"
#include "client/open_key.h"

namespace skms::client {

/// Exit codes of every command.
constexpr int kExitRefused = 1;  ///< the server refused
constexpr int kExitUsage = 2;
constexpr int kExitFile = 3;
constexpr int kExitNetwork = 4;  ///< network or TLS
constexpr int kExitClosed = 5;   ///< the answer is not for what was asked, or the key cannot be opened

using Given = boost::program_options::variables_map;
using Options = boost::program_options::options_description;

/// One command of skmc: help, man page and completion read it. commands.cpp has the table.
struct Command {
  const char* name;
  const char* argument;  ///< its one positional argument, "" for none
  const char* usage;     ///< options in the synopsis
  const char* summary;
  const char* text;     ///< what else there is to say, or ""
  const char* example;  ///< or ""
  const char* alone;    ///< an option that needs none of those that are required otherwise, or ""
  void (*describe)(Options& options);
  int (*run)(const Given& given);
};

/// "skmc: what" and, where there is one, how to mend it; gives `code` back.
int Complain(const std::string& what, const std::string& mend, int code);

/// The option's text, or "" where it was not given.
std::string Value(const Given& given, const char* option);

/// --url, --ca, --token-file, --follow; --cert and --key too, needed with `mutual_tls`.
void AddServerOptions(Options& options, bool mutual_tls);
Endpoint EndpointOf(const Given& given);
ClientOptions ClientOptionsOf(const Given& given);

/// The access token in --token-file, "-" for standard input. Errors: kIo, kConfiguration (permissions,
/// empty).
Result<SecretBytes> ReadToken(const Given& given);

/// --recipient-key (else `usual_private_key`) and --transport-key. Errors: kIo, kConfiguration.
Result<RecipientKey> ReadRecipientKey(const Given& given, const std::string& usual_private_key);

/// Why a call of KeyManagementClient failed, what to do, and the exit code for it. `access`: the
/// administrator's command that would allow it.
int ComplainOf(const Error& error, const KeyManagementClient& client, const std::string& help,
               const std::string& access);

/// Writes to --out (mode 0600) or standard output.
int Emit(const SecretBytes& out, const Given& given);

/// An option's value, as help and completion call it: FILE, URL, ID, or choices divided by "|".
boost::program_options::typed_value<std::string>* Text(const char* value_name);

/// Parses (argv[0] is the command's name), prints the help on --help, and runs it. Exit code.
int RunCommand(int argc, const char* const* argv, const Command& command);

}  // namespace skms::client
