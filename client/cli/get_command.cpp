#include "client/cli/get_command.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <iomanip>
#include <iostream>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/encoding.h"
#include "client/cli/command.h"
#include "client/cli/receipt_command.h"
#include "client/printable.h"

namespace skms::client {
namespace {

void AddQueryOptions(Options& options) {
  options.add_options()("service", Text("ID")->required(), "VAL service ID")(
      "user", Text("ID"), "for this VAL user")("ue", Text("ID"), "for this VAL UE")(
      "group", Text("ID"), "of that user's or UE's groups: the key of this one");
}

void AddOutputOptions(Options& options, const char* recipient_key) {
  options.add_options()("recipient-key", Text("FILE"), recipient_key)(
      "transport-key", Text("FILE"),
      "file of mode 0400 with an AES-256 transport key: 32 octets or 64 hex digits")(
      "payload", Text("ID")->implicit_value(""),
      "instead of the key, the provisioned payload of this id (no id: the one without); raw")(
      "format", Text("raw|hex|base64url|pem"), "of a key (default: hex; pem for EC keys)")(
      "out", Text("FILE"), "write to this file (mode 0600) instead of standard output")(
      "receipt", Text("FILE"),
      "have the server sign what it delivered, check that, and keep it here: who got which keys, and when")(
      "info", "print what is known of the keys and payloads instead");
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

std::string Delivered(const std::string& alg, const std::string& recipient) {
  return alg.empty() ? "in the clear inside TLS" : alg + " to " + recipient;
}

void PrintLine(const char* name, const std::string& value) {
  std::cout << std::left << std::setw(11) << name << Printable(value) << '\n';
}

void PrintInfo(const KeyAnswer& answer) {
  for (const ReceivedKey& key : answer.keys) {
    PrintLine("kid", key.kid);
    PrintLine("alg", key.alg);
    PrintLine("state", key.state);
    PrintLine("version", std::to_string(key.version));
    PrintLine("not before", FormatUtc(key.not_before));
    if (key.not_after > 0) PrintLine("not after", FormatUtc(key.not_after));
    PrintLine("delivered", Delivered(key.wrap_alg, key.recipient));
    PrintLine("server", answer.skms);
    PrintLine("user URI", answer.user_uri);
  }
  for (const ReceivedPayload& payload : answer.payloads) {
    PrintLine("payload", payload.payload_id.empty() ? "(without an id)" : payload.payload_id);
    PrintLine("kid", payload.kid);
    PrintLine("version", std::to_string(payload.version));
    PrintLine("not before", FormatUtc(payload.not_before));
    PrintLine("delivered", Delivered(payload.alg, payload.recipient));
    PrintLine("server", answer.skms);
    PrintLine("user URI", answer.user_uri);
  }
}

int CannotOpen(const Error& error) {
  return Complain(error.detail, "", error.code == ErrorCode::kIo ? kExitFile : kExitClosed);
}

int EmitPayload(const KeyAnswer& answer, const RecipientKey& recipient, const Given& given) {
  const std::string id = Value(given, "payload");
  for (const ReceivedPayload& payload : answer.payloads) {
    if (payload.payload_id != id) continue;
    const auto opened = OpenPayload(payload, recipient);
    return opened.has_error() ? CannotOpen(opened.error()) : Emit(opened.value(), given);
  }
  return Complain("the answer holds no payload " + (id.empty() ? "without an id" : "'" + id + "'"),
                  "--info shows what it holds", kExitClosed);
}

int EmitKey(const KeyAnswer& answer, const RecipientKey& recipient, const Given& given) {
  if (answer.keys.empty())
    return Complain("the answer holds payloads and no key", "name one with --payload; --info shows them",
                    kExitClosed);
  const ReceivedKey& key = answer.keys.front();
  const auto opened = OpenKey(key, recipient);
  if (opened.has_error()) return CannotOpen(opened.error());
  const std::string usual = key.alg == "ES256" ? "pem" : "hex";
  const auto formatted = Format(opened.value(), given.count("format") > 0 ? Value(given, "format") : usual);
  if (formatted.has_error()) return Complain(formatted.error().detail, "--help", kExitUsage);
  return Emit(formatted.value(), given);
}

int Show(const KeyAnswer& answer, const Given& given, const std::string& usual_private_key) {
  if (given.count("info") > 0) {
    PrintInfo(answer);
    return 0;
  }
  const auto recipient = ReadRecipientKey(given, usual_private_key);
  if (recipient.has_error()) return Complain(recipient.error().detail, "", kExitFile);
  return given.count("payload") > 0 ? EmitPayload(answer, recipient.value(), given)
                                    : EmitKey(answer, recipient.value(), given);
}

KeyQuery QueryOf(const Given& given) {
  KeyQuery query{
      Value(given, "service"), Value(given, "user"), Value(given, "ue"), Value(given, "group"), {}};
  if (given.count("client") > 0) query.client = Value(given, "client");
  query.receipt = given.count("receipt") > 0;
  return query;
}

/// What the library's caller would be told by it too, in the words of the command's options.
std::string WrongQuery(const KeyQuery& query) {
  const int named =
      (query.user.empty() ? 0 : 1) + (query.ue.empty() ? 0 : 1) + (query.client.empty() ? 0 : 1);
  if (named > 1) return "give at most one of --user, --ue and --client";
  if (!query.group.empty() && query.user.empty() && query.ue.empty())
    return "--group goes with the member's --user or --ue";
  return {};
}

}  // namespace

int RunGet(const Given& given) {
  const KeyQuery query = QueryOf(given);
  if (const std::string wrong = WrongQuery(query); !wrong.empty())
    return Complain(wrong, "skmc get --help", kExitUsage);
  const auto token = ReadToken(given);
  if (token.has_error()) return Complain(token.error().detail, "", kExitFile);
  const SystemClock clock;
  KeyManagementClient client(EndpointOf(given), clock, ClientOptionsOf(given));
  const auto answer = client.RetrieveKeys(query, token.value());
  if (answer.has_error())
    return ComplainOf(answer.error(), client, "skmc get --help", "skmsctl service set ID --add-reader");
  if (const int failed = KeepReceipt(client, answer.value(), given); failed != 0) return failed;
  return Show(answer.value(), given, Value(given, "key"));
}

int RunRequest(const Given& given) {
  const KeyQuery query = QueryOf(given);
  if (const std::string wrong = WrongQuery(query); !wrong.empty())
    return Complain(wrong, "skmc request --help", kExitUsage);
  const auto token = ReadToken(given);
  if (token.has_error()) return Complain(token.error().detail, "", kExitFile);
  const SystemClock clock;
  KeyManagementClient client(EndpointOf(given), clock, ClientOptionsOf(given));
  const auto answer = client.RequestKeys(query, token.value(), Value(given, "bound-key"));
  if (answer.has_error())
    return ComplainOf(answer.error(), client, "skmc request --help",
                      "skmsctl service set ID --add-ue-issuer");
  if (const int failed = KeepReceipt(client, answer.value(), given); failed != 0) return failed;
  return Show(answer.value(), given, Value(given, given.count("bound-key") > 0 ? "bound-key" : "key"));
}

void DescribeGet(Options& options) {
  AddServerOptions(options, true);
  AddQueryOptions(options);
  AddOutputOptions(options, "private key (RSA or EC, PEM) that keys are wrapped to (default: --key)");
}

void DescribeRequest(Options& options) {
  AddServerOptions(options, false);
  AddQueryOptions(options);
  options.add_options()("client", Text("ID"), "for this VAL client")(
      "bound-key", Text("FILE"),
      "RSA or EC private key (PEM) that the access token is bound to (cnf.jkt): keys are wrapped to its "
      "public half");
  AddOutputOptions(
      options, "private key (RSA or EC, PEM) that keys are wrapped to (default: --bound-key, else --key)");
}

}  // namespace skms::client
