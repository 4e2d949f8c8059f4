// A VAL server fetches a service's key over KM-S, opens it, and asks again only if it changed.
//
//   retrieve_key URL SERVICE CA CERTIFICATE PRIVATE_KEY TOKEN_FILE
#include <iostream>

#include "base/file.h"
#include "client/key_management_client.h"
#include "client/open_key.h"

int main(int argc, char** argv) {
  namespace client = skms::client;
  if (argc != 7) {
    std::cerr << "usage: retrieve_key URL SERVICE CA CERTIFICATE PRIVATE_KEY TOKEN_FILE\n";
    return 2;
  }
  const client::KeyQuery query{argv[2]};
  const client::Endpoint server{argv[1], argv[3], argv[4], argv[5]};

  // Secrets come from files that others cannot read; ReadSecretFile refuses any other.
  const auto token = skms::ReadSecretFile(argv[6]);
  if (token.has_error()) {
    std::cerr << token.error().detail << '\n';
    return 1;
  }
  const skms::SystemClock clock;
  client::KeyManagementClient skmc(server, clock);

  std::string etag;
  auto answer = skmc.RetrieveKeysIfChanged(query, token.value(), etag);
  if (answer.has_error()) {
    std::cerr << answer.error().detail << '\n';
    return 1;
  }
  // This server's certificate key is also the key that its keys are wrapped to.
  client::RecipientKey mine;
  mine.private_key_path = argv[5];
  if (!answer.value()) return 1;  // nothing has changed: not after a first request
  for (const client::ReceivedKey& key : answer.value()->keys) {
    const auto opened = client::OpenKey(key, mine);
    if (opened.has_error()) {
      std::cerr << opened.error().detail << '\n';
      return 1;
    }
    std::cout << key.kid << ' ' << key.alg << ' ' << key.state << ": " << opened.value().size()
              << " octets\n";
  }

  answer = skmc.RetrieveKeysIfChanged(query, token.value(), etag);
  if (answer.has_error()) {
    std::cerr << answer.error().detail << '\n';
    return 1;
  }
  std::cout << (answer.value() ? "changed" : "unchanged") << '\n';
  return 0;
}
