#include "client/get_command.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/file.h"
#include "client/fetch.h"
#include "client/open_key.h"

namespace skms::client {
namespace {

namespace po = boost::program_options;

constexpr int kExitRefused = 1;
constexpr int kExitUsage = 2;
constexpr int kExitFile = 3;
constexpr int kExitNetwork = 4;
constexpr int kExitClosed = 5;

int Complain(const std::string& what, const std::string& mend, int code) {
  std::cerr << "skmc: " << what << '\n';
  if (!mend.empty()) std::cerr << "  what to do: " << mend << '\n';
  return code;
}

po::options_description GetOptions() {
  po::options_description options("Options");
  const auto text = [] { return po::value<std::string>(); };
  options.add_options()("url", text()->required(), "the server's apiRoot, https://host:port")(
      "service", text()->required(), "VAL service ID")("user", text(), "key of this VAL user")(
      "ue", text(), "key of this VAL UE")("group", text(),
                                          "of that user's or UE's groups: the key of this one")(
      "ca", text()->required(), "CA bundle of the server's certificate")(
      "cert", text()->required(), "client certificate (PEM)")("key", text()->required(),
                                                              "its private key (PEM)")(
      "token-file", text()->required(), "file with the access token, mode 0600; - for standard input")(
      "recipient-key", text(), "RSA private key that keys are wrapped to (default: --key)")(
      "transport-key", text(), "file of mode 0400 with an AES-256 transport key: 32 octets or 64 hex digits")(
      "format", text(), "raw, hex (default), base64url, or pem (default for EC keys)")(
      "out", text(), "write the key to this file (mode 0600) instead of standard output")(
      "info", "print what is known of the key instead of the key")("help,h", "print this text and exit");
  return options;
}

Result<SecretBytes> ReadToken(const std::string& path) {
  constexpr std::size_t kMaxTokenBytes = 16384;
  if (path != "-") return ReadSecretFile(path, kMaxTokenBytes);
  SecretBytes token(kMaxTokenBytes);
  std::size_t size = 0;
  while (size < token.size()) {
    const ssize_t got = ::read(STDIN_FILENO, token.ExposeForWriting().data() + size, token.size() - size);
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  while (size > 0 && token.ExposeSecret()[size - 1] <= ' ') --size;
  token.Truncate(size);
  if (token.empty()) return ConfigurationError("no access token on standard input");
  return token;
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

Result<SecretBytes> ToPem(const SecretBytes& pkcs8) {
  const unsigned char* data = pkcs8.ExposeSecret().data();
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      d2i_AutoPrivateKey(nullptr, &data, static_cast<long>(pkcs8.size())), &EVP_PKEY_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_secmem()), &BIO_free);
  if (!key || PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return InvalidArgument("--format pem is for EC keys; this one is symmetric");
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return SecretBytes::CopyOf(AsBytes({text, static_cast<std::size_t>(size)}));
}

Result<SecretBytes> Format(const SecretBytes& key, const std::string& format) {
  std::string text;
  if (format == "raw") return key.Clone();
  if (format == "pem") return ToPem(key);
  if (format == "hex") text = ToHex(key.ExposeSecret()) + "\n";
  if (format == "base64url") text = ToBase64Url(key.ExposeSecret()) + "\n";
  if (text.empty()) return InvalidArgument("--format is raw, hex, base64url or pem");
  return SecretBytes::TakeFrom(text);
}

void PrintInfo(const KeyAnswer& answer) {
  for (const ReceivedKey& key : answer.keys) {
    std::cout << "kid        " << key.kid << "\nalg        " << key.alg << "\nstate      " << key.state
              << "\nversion    " << key.version << "\nnot before " << FormatUtc(key.not_before)
              << (key.not_after > 0 ? "\nnot after  " + FormatUtc(key.not_after) : std::string())
              << "\ndelivered  "
              << (key.wrap_alg.empty() ? "in the clear inside TLS" : key.wrap_alg + " to " + key.recipient)
              << "\nserver     " << answer.skms << "\nuser URI   " << answer.user_uri << '\n';
  }
}

int Emit(const SecretBytes& out, const po::variables_map& given) {
  if (given.count("out") > 0) {
    const Status written = WriteFileAtomically(given["out"].as<std::string>(), out.ExposeSecret(), 0600);
    if (written.has_error()) return Complain(written.error().detail, "", kExitFile);
    return 0;
  }
  std::cout.write(reinterpret_cast<const char*>(out.ExposeSecret().data()),
                  static_cast<std::streamsize>(out.size()));
  std::cout.flush();
  return std::cout.good() ? 0 : Complain("standard output cannot be written", "", kExitFile);
}

int OpenAndEmit(const KeyAnswer& answer, const po::variables_map& given) {
  RecipientKey recipient;
  recipient.rsa_private_key_path =
      given[given.count("recipient-key") > 0 ? "recipient-key" : "key"].as<std::string>();
  if (given.count("transport-key") > 0) {
    auto transport = ReadTransportKey(given["transport-key"].as<std::string>());
    if (transport.has_error()) return Complain(transport.error().detail, "", kExitFile);
    recipient.transport_key = std::move(transport).value();
  }
  const ReceivedKey& key = answer.keys.front();
  const auto opened = OpenKey(key, recipient);
  if (opened.has_error()) {
    return Complain(opened.error().detail, "",
                    opened.error().code == ErrorCode::kIo ? kExitFile : kExitClosed);
  }
  const std::string usual = key.alg == "ES256" ? "pem" : "hex";
  const auto formatted =
      Format(opened.value(), given.count("format") > 0 ? given["format"].as<std::string>() : usual);
  if (formatted.has_error()) return Complain(formatted.error().detail, "skmc get --help", kExitUsage);
  return Emit(formatted.value(), given);
}

std::string WhatToDo(long status) {
  switch (status) {
    case 401:
      return "get a fresh access token for this server";
    case 403:
      return "use the client certificate that the token was issued for, or ask the administrator (skmsctl "
             "principal list)";
    case 404:
      return "check the service ID; the administrator makes you a reader (skmsctl service set --add-reader)";
    case 429:
    case 503:
      return "try again in a moment";
    default:
      return "";
  }
}

int Get(const po::variables_map& given) {
  KeyQuery query{given["service"].as<std::string>(), "", "", ""};
  if (given.count("group") > 0) query.group = given["group"].as<std::string>();
  if (given.count("user") > 0) query.user = given["user"].as<std::string>();
  if (given.count("ue") > 0) query.ue = given["ue"].as<std::string>();
  if (!query.user.empty() && !query.ue.empty()) {
    return Complain("give at most one of --user and --ue", "skmc get --help", kExitUsage);
  }
  if (!query.group.empty() && query.user.empty() && query.ue.empty()) {
    return Complain("--group goes with the member's --user or --ue", "skmc get --help", kExitUsage);
  }
  const auto token = ReadToken(given["token-file"].as<std::string>());
  if (token.has_error()) return Complain(token.error().detail, "", kExitFile);
  const Endpoint endpoint{given["url"].as<std::string>(), given["ca"].as<std::string>(),
                          given["cert"].as<std::string>(), given["key"].as<std::string>()};
  auto fetched = FetchKeyRecords(endpoint, token.value(), query);
  if (fetched.has_error()) {
    const bool usage = fetched.error().code == ErrorCode::kInvalidArgument;
    return Complain(fetched.error().detail, usage ? "skmc get --help" : "",
                    usage ? kExitUsage : kExitNetwork);
  }
  HttpAnswer& answer = fetched.value();
  if (answer.status != 200) {
    const std::string text = ProblemText(answer.body, "no reason given");
    return Complain("the server answered " + std::to_string(answer.status) + ": " + text,
                    WhatToDo(answer.status), kExitRefused);
  }
  const auto decoded = DecodeAnswer(answer.body, query);
  Wipe(answer.body);
  if (decoded.has_error()) return Complain(decoded.error().detail, "", kExitClosed);
  if (given.count("info") > 0) {
    PrintInfo(decoded.value());
    return 0;
  }
  return OpenAndEmit(decoded.value(), given);
}

}  // namespace

int RunGet(int argc, const char* const* argv) {
  const po::options_description options = GetOptions();
  try {
    po::variables_map given;
    po::store(po::command_line_parser(argc, argv).options(options).positional({}).run(), given);
    if (given.count("help") > 0) {
      std::cout << "Usage: skmc get --url URL --service ID [--user ID | --ue ID [--group ID]] --ca FILE "
                   "--cert FILE --key FILE\n"
                   "                --token-file FILE [OPTIONS]\n\n"
                   "Fetches a key over KM-S and opens it.\n\n"
                << options
                << "\nExample:\n  skmc get --url https://localhost:8443 --service uav.c2 --ca ca.pem --cert "
                   "val-1.pem \\\n"
                   "           --key val-1.key --token-file token\n";
      return 0;
    }
    po::notify(given);
    return Get(given);
  } catch (const po::error& error) {
    return Complain(error.what(), "skmc get --help", kExitUsage);
  }
}

}  // namespace skms::client
