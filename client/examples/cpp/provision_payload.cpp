// A VAL server stores a payload, sealed to the server's transfer key, and reads back what it stored.
//
//   provision_payload URL SERVICE CA CERTIFICATE PRIVATE_KEY TOKEN_FILE TEXT
#include <iostream>

#include "base/file.h"
#include "client/key_management_client.h"
#include "client/open_key.h"

int main(int argc, char** argv) {
  namespace client = skms::client;
  if (argc != 8) {
    std::cerr << "usage: provision_payload URL SERVICE CA CERTIFICATE PRIVATE_KEY TOKEN_FILE TEXT\n";
    return 2;
  }
  const std::string text = argv[7];  // an example; a real payload does not stand on a command line
  const auto token = skms::ReadSecretFile(argv[6]);
  if (token.has_error()) {
    std::cerr << token.error().detail << '\n';
    return 1;
  }
  const skms::SystemClock clock;
  client::KeyManagementClient skmc({argv[1], argv[3], argv[4], argv[5]}, clock);

  client::ProvisionRequest request;
  request.service = argv[2];
  request.payload_id = "example";
  request.client_uri = "https://val-1.example/skmc";
  request.payload = skms::AsBytes(text);
  const skms::Status stored = skmc.Provision(request, token.value());
  if (stored.has_error()) {
    std::cerr << stored.error().detail << '\n';
    return 1;
  }

  const auto answer = skmc.RetrieveKeys({argv[2]}, token.value());
  if (answer.has_error()) {
    std::cerr << answer.error().detail << '\n';
    return 1;
  }
  client::RecipientKey mine;
  mine.private_key_path = argv[5];
  for (const client::ReceivedPayload& payload : answer.value().payloads) {
    if (payload.payload_id != request.payload_id) continue;
    const auto opened = client::OpenPayload(payload, mine);
    if (opened.has_error()) {
      std::cerr << opened.error().detail << '\n';
      return 1;
    }
    std::cout << payload.payload_id << " version " << payload.version << ": "
              << skms::AsText(opened.value().ExposeSecret()) << '\n';
  }
  return 0;
}
