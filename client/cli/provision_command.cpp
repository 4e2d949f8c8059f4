#include "client/cli/provision_command.h"

#include <iomanip>
#include <iostream>

#include "base/clock.h"
#include "base/file.h"
#include "client/cli/command.h"
#include "client/printable.h"

namespace skms::client {
namespace {

constexpr std::size_t kMaxPayloadBytes = 16U << 20U;  // the server's own limit is lower

}  // namespace

int RunProvision(const Given& given) {
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

int RunDiscover(const Given& given) {
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

void DescribeProvision(Options& options) {
  AddServerOptions(options, true);
  options.add_options()("service", Text("ID")->required(), "VAL service ID")(
      "user", Text("ID"), "for this VAL user")("ue", Text("ID"), "for this VAL UE")(
      "payload-file", Text("FILE")->required(), "what to store, any bytes")(
      "payload-id", Text("ID"), "its id; the next one with this id takes its place")(
      "client-uri", Text("URI")->default_value("urn:skmc"), "URI of this VAL server's client (skmcUri)")(
      "transfer-thumbprint", Text("TEXT"),
      "seal to the transfer key of this RFC 7638 thumbprint alone (skmc discover, on the server's host, "
      "prints it)")("plain", "send it as it is inside TLS, not sealed to the server's transfer key");
}

void DescribeDiscover(Options& options) {
  options.add_options()("url", Text("URL")->required(), "the server's apiRoot, https://host:port")(
      "ca", Text("FILE")->required(), "CA bundle of the server's certificate")(
      "cert", Text("FILE"), "client certificate (PEM)")("key", Text("FILE"), "its private key (PEM)");
}

}  // namespace skms::client
