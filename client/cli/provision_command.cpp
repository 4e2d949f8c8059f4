#include "client/cli/provision_command.h"

#include <iomanip>
#include <iostream>

#include "base/clock.h"
#include "base/file.h"
#include "client/cli/command.h"

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
  const ProvisionRequest request{Value(given, "service"),    Value(given, "user"),
                                 Value(given, "ue"),         Value(given, "payload-id"),
                                 Value(given, "client-uri"), payload.ExposeSecret(),
                                 given.count("plain") == 0};
  const Status done = client.Provision(request, token.value());
  if (done.has_error()) return ComplainOf(done.error(), client, "skmc provision --help");
  std::cout << "provisioned " << payload.size() << " bytes for service " << request.service << '\n';
  return 0;
}

int Discover(const Given& given) {
  const SystemClock clock;
  KeyManagementClient client(EndpointOf(given), clock);
  const auto found = client.Discover();
  if (found.has_error()) return ComplainOf(found.error(), client, "skmc discover --help");
  const Discovery& server = found.value();
  std::cout << "server       " << server.skms_id << "\napiRoot      " << server.skms_uri << '\n';
  for (const Discovery::Api& api : server.apis) {
    std::cout << std::left << std::setw(13) << api.reference_point << api.uri << "  (scope " << api.scope
              << ")\n";
  }
  std::cout << "wraps by    ";
  for (const std::string& alg : server.wrapping) std::cout << ' ' << alg;
  std::cout << "\ntransfer key "
            << (server.transfer_key ? server.transfer_key->kid + " (" + server.transfer_key->alg + ")"
                                    : "none")
            << '\n';
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
      "plain", "send it as it is inside TLS, not sealed to the server's transfer key")(
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
