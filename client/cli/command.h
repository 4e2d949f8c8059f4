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

/// Parses, prints `usage` and the options on --help, and runs `run`. Exit code.
int RunCommand(int argc, const char* const* argv, const Options& options, const std::string& usage,
               int (*run)(const Given&));

}  // namespace skms::client
