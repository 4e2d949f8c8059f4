// A UE asks for its user's key over KM-UU with an access token that is bound to the UE's own RSA key.
//
//   request_key URL SERVICE USER CA BOUND_KEY TOKEN_FILE
#include <iostream>

#include "base/file.h"
#include "client/key_management_client.h"
#include "client/open_key.h"

int main(int argc, char** argv) {
  namespace client = skms::client;
  if (argc != 7) {
    std::cerr << "usage: request_key URL SERVICE USER CA BOUND_KEY TOKEN_FILE\n";
    return 2;
  }
  client::KeyQuery query{argv[2]};
  query.user = argv[3];
  const auto token = skms::ReadSecretFile(argv[6]);
  if (token.has_error()) {
    std::cerr << token.error().detail << '\n';
    return 1;
  }
  const skms::SystemClock clock;
  client::KeyManagementClient skmc({argv[1], argv[4]}, clock, {.follow_redirects = true});
  const auto answer = skmc.RequestKeys(query, token.value(), argv[5]);
  if (answer.has_error()) {
    // A refusal has its parts, beside the sentence: for a program that acts on them.
    if (skmc.problem() && skmc.problem()->retry_after_s >= 0)
      std::cerr << "later, in " << skmc.problem()->retry_after_s << " s\n";
    std::cerr << answer.error().detail << '\n';
    return 1;
  }
  if (answer.value().keys.empty()) {
    std::cerr << "there are payloads for this user and no key\n";
    return 1;
  }
  client::RecipientKey mine;
  mine.private_key_path = argv[5];
  const client::ReceivedKey& key = answer.value().keys.front();
  const auto opened = client::OpenKey(key, mine);
  if (opened.has_error()) {
    std::cerr << opened.error().detail << '\n';
    return 1;
  }
  std::cout << key.kid << ' ' << key.alg << ' ' << key.state << ": " << opened.value().size() << " octets\n";
  return 0;
}
