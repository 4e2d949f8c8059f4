#include "client/cli/command.h"

#include <unistd.h>

#include <iostream>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/manual/program.h"
#include "client/printable.h"

namespace skms::client {
namespace {

namespace po = boost::program_options;

/// `access`: how the administrator lets somebody do this.
std::string WhatToDo(const Problem& problem, const std::string& access) {
  switch (problem.status) {
    case 307:
    case 308:
      return "use that server's --url, or add --follow";
    case 401:
      return "get a fresh access token for this server";
    case 403:
      return "use the credentials that the token was issued for and ask for what it names; else ask the "
             "administrator "
             "(skmsctl principal list, skmsctl service show)";
    case 404:
      return "check the service ID; the administrator lets you in with " + access;
    case 429:
    case 503:
      return problem.retry_after_s < 0 ? "try again in a moment"
                                       : "try again in " + std::to_string(problem.retry_after_s) + " s";
    default:
      return "";
  }
}

Result<SecretBytes> ReadTransportKey(const std::string& path) {
  SKMS_TRY(SecretBytes raw, ReadSecretFile(path, 256));
  if (raw.size() == 32) return raw;
  std::string text = AsText(raw.ExposeSecret());
  auto octets = FromHex(text);
  Wipe(text);
  if (!octets || octets->size() != 32) {
    return ConfigurationError(path + ": a transport key is 32 octets, raw or as 64 hex digits");
  }
  return SecretBytes::TakeFrom(*octets);
}

constexpr std::size_t kHelpWidth = 100;

std::string CommandHelp(const Command& command) {
  const std::string usage = "Usage: skmc " + std::string(command.name) + ' ';
  std::string text = usage;
  if (*command.argument != '\0') text += std::string(command.argument) + ' ';
  text += command.usage;
  if (text.back() == ' ') text.pop_back();
  text = manual::Wrapped(text, kHelpWidth, usage.size()) + "\n\n" + command.summary + "\n\n";
  if (*command.text != '\0') text += manual::Wrapped(command.text, kHelpWidth, 0) + "\n\n";
  if (*command.example != '\0') text += "Example:\n  " + std::string(command.example) + "\n\n";
  return text;
}

}  // namespace

int Complain(const std::string& what, const std::string& mend, int code) {
  std::cerr << "skmc: " << Printable(what) << '\n';
  if (!mend.empty()) std::cerr << "  what to do: " << Printable(mend) << '\n';
  return code;
}

std::string Value(const Given& given, const char* option) {
  return given.count(option) > 0 ? given[option].as<std::string>() : std::string();
}

po::typed_value<std::string>* Text(const char* value_name) {
  return po::value<std::string>()->value_name(value_name);
}

void AddServerOptions(Options& options, bool mutual_tls) {
  const auto file = [](bool required) { return required ? Text("FILE")->required() : Text("FILE"); };
  options.add_options()("url", Text("URL")->required(), "the server's apiRoot, https://host:port")(
      "ca", file(true), "CA bundle of the server's certificate")(
      "cert", file(mutual_tls), "client certificate (PEM)")("key", file(mutual_tls), "its private key (PEM)")(
      "token-file", file(true), "file with the access token, mode 0600; - for standard input")(
      "follow", "go on to another server when this one redirects there (the access token goes along)");
}

Endpoint EndpointOf(const Given& given) {
  return {Value(given, "url"), Value(given, "ca"), Value(given, "cert"), Value(given, "key")};
}

ClientOptions ClientOptionsOf(const Given& given) { return {given.count("follow") > 0}; }

Result<SecretBytes> ReadToken(const Given& given) {
  constexpr std::size_t kMaxTokenBytes = 16384;
  const std::string path = Value(given, "token-file");
  if (path != "-") return ReadSecretFile(path, kMaxTokenBytes);
  SecretBytes token(kMaxTokenBytes + 1);
  std::size_t size = 0;
  while (size < token.size()) {
    const ssize_t got = ::read(STDIN_FILENO, token.ExposeForWriting().data() + size, token.size() - size);
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMaxTokenBytes) return ConfigurationError("standard input is too long for an access token");
  while (size > 0 && token.ExposeSecret()[size - 1] <= ' ') --size;
  token.Truncate(size);
  if (token.empty()) return ConfigurationError("no access token on standard input");
  return token;
}

Result<RecipientKey> ReadRecipientKey(const Given& given, const std::string& usual_private_key) {
  RecipientKey recipient;
  recipient.private_key_path =
      given.count("recipient-key") > 0 ? Value(given, "recipient-key") : usual_private_key;
  if (given.count("transport-key") > 0) {
    SKMS_TRY(recipient.transport_key, ReadTransportKey(Value(given, "transport-key")));
  }
  return recipient;
}

int ComplainOf(const Error& error, const KeyManagementClient& client, const std::string& help,
               const std::string& access) {
  if (client.problem()) return Complain(error.detail, WhatToDo(*client.problem(), access), kExitRefused);
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
      return Complain(error.detail, help, kExitUsage);
    case ErrorCode::kConfiguration:
      return Complain(error.detail, "", kExitFile);
    case ErrorCode::kIo:
      return Complain(error.detail, "", kExitNetwork);
    default:
      return Complain(error.detail, "", kExitClosed);
  }
}

int Emit(const SecretBytes& out, const Given& given) {
  if (given.count("out") > 0) {
    const Status written = WriteFileAtomically(Value(given, "out"), out.ExposeSecret(), 0600);
    if (written.has_error()) return Complain(written.error().detail, "", kExitFile);
    return 0;
  }
  std::cout.write(reinterpret_cast<const char*>(out.ExposeSecret().data()),
                  static_cast<std::streamsize>(out.size()));
  std::cout.flush();
  return std::cout.good() ? 0 : Complain("standard output cannot be written", "", kExitFile);
}

int RunCommand(int argc, const char* const* argv, const Command& command) {
  const std::string help = "skmc " + std::string(command.name) + " --help";
  Options options("Options");
  command.describe(options);
  options.add_options()("help,h", "print this text and exit");
  Options all;
  all.add(options);
  po::positional_options_description positional;
  if (*command.argument != '\0') {
    all.add_options()("argument", po::value<std::string>()->required());
    positional.add("argument", 1);
  }
  try {
    Given given;
    po::store(po::command_line_parser(argc, argv).options(all).positional(positional).run(), given);
    if (given.count("help") > 0) {
      std::cout << CommandHelp(command) << options;
      return 0;
    }
    if (*command.alone == '\0' || given.count(command.alone) == 0) po::notify(given);
    return command.run(given);
  } catch (const po::error& error) {
    return Complain(error.what(), help, kExitUsage);
  }
}

}  // namespace skms::client
