#include "client/cli/provision_command.h"

#include <iomanip>
#include <iostream>

#include "base/clock.h"
#include "base/file.h"
#include "client/cli/command.h"
#include "client/printable.h"

namespace skms::client {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kMaxPayloadBytes = 16U << 20U;  // the server's own limit is lower

int Provision(const Given& given) {
  const auto token = ReadToken(given);
  if (token.has_error()) return Complain(token.error().detail, "", kExitFile);
  auto text = ReadFile(Value(given, "payload-file"), kMaxPayloadBytes);
  if (text.has_error()) return Complain(text.error().detail, "", kExitFile);
  const SecretBytes payload = SecretBytes::TakeFrom(text.value());
  if (payload.empty()) return Complain(Value(given, "payload-file") + ": is empty", "", kExitFile);
  const SystemClock clock;
  KeyManagementClient client(EndpointOf(given), clock, ClientOptionsOf(given));
  ProvisionRequest request;
  request.service = Value(given, "service");
  request.user = Value(given, "user");
  request.ue = Value(given, "ue");
  request.payload_id = Value(given, "payload-id");
  request.client_uri = Value(given, "client-uri");
  request.payload = payload.ExposeSecret();
  request.seal = given.count("plain") == 0;
  request.transfer_key_thumbprint = Value(given, "transfer-thumbprint");
  const Status done = client.Provision(request, token.value());
  if (done.has_error())
    return ComplainOf(done.error(), client, "skmc provision --help",
                      "skmsctl service set ID --add-provisioner");
  std::cout << "provisioned " << payload.size() << " bytes for service " << request.service << '\n';
  return 0;
}

int Discover(const Given& given) {
  const SystemClock clock;
  KeyManagementClient client(EndpointOf(given), clock);
  const auto found = client.Discover();
  if (found.has_error()) return ComplainOf(found.error(), client, "skmc discover --help", "a newer server");
  const Discovery& server = found.value();
  std::cout << "server       " << Printable(server.skms_id) << "\napiRoot      " << Printable(server.skms_uri)
            << '\n';
  for (const Discovery::Api& api : server.apis) {
    std::cout << std::left << std::setw(13) << Printable(api.reference_point) << Printable(api.uri)
              << "  (scope " << Printable(api.scope) << ")\n";
  }
  std::cout << "wraps by    ";
  for (const std::string& alg : server.wrapping) std::cout << ' ' << Printable(alg);
  std::cout << "\ntransfer key ";
  if (server.transfer_key)
    std::cout << Printable(server.transfer_key->kid) << " (" << Printable(server.transfer_key->alg)
              << "), thumbprint " << Thumbprint(*server.transfer_key) << '\n';
  else
    std::cout << "none\n";
  return 0;
}

}  // namespace

int RunProvision(int argc, const char* const* argv) {
  const auto text = [] { return po::value<std::string>(); };
  Options options("Options");
  AddServerOptions(options, true);
  options.add_options()("service", text()->required(), "VAL service ID")("user", text(), "for this VAL user")(
      "ue", text(), "for this VAL UE")("payload-file", text()->required(), "what to store, any bytes")(
      "payload-id", text(), "its id; the next one with this id takes its place")(
      "client-uri", text()->default_value("urn:skmc"), "URI of this VAL server's client (skmcUri)")(
      "transfer-thumbprint", text(),
      "seal to the transfer key of this RFC 7638 thumbprint alone (skmc discover, on the server's host, "
      "prints it)")("plain", "send it as it is inside TLS, not sealed to the server's transfer key")(
      "help,h", "print this text and exit");
  return RunCommand(
      argc, argv, options,
      "Usage: skmc provision --url URL --service ID [--user ID | --ue ID] --payload-file FILE\n"
      "                      --ca FILE --cert FILE --key FILE --token-file FILE [OPTIONS]\n\n"
      "Stores a payload for those who may retrieve it. The access token needs the claim SKeyProv.\n\n",
      &Provision);
}

int RunDiscover(int argc, const char* const* argv) {
  const auto text = [] { return po::value<std::string>(); };
  Options options("Options");
  options.add_options()("url", text()->required(), "the server's apiRoot, https://host:port")(
      "ca", text()->required(), "CA bundle of the server's certificate")(
      "cert", text(), "client certificate (PEM)")("key", text(), "its private key (PEM)")(
      "help,h", "print this text and exit");
  return RunCommand(argc, argv, options,
                    "Usage: skmc discover --url URL --ca FILE [--cert FILE --key FILE]\n\n"
                    "Prints names, APIs and keys of a server (GET /.well-known/skms).\n\n",
                    &Discover);
}

}  // namespace skms::client
