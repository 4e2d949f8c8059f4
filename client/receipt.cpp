#include "client/receipt.h"

#include <algorithm>
#include <sstream>

#include "base/api_root.h"

namespace skms::client {
namespace {

bool Names(const DeliveryReceipt& receipt, const std::string& kid) {
  std::istringstream words(receipt.kids);
  std::string word;
  while (words >> word)
    if (word == kid) return true;
  return false;
}

}  // namespace

Result<DeliveryReceipt> VerifyReceipt(const std::string& jws, const std::vector<SigningKey>& keys) {
  const auto read = ReadJws(jws);
  if (read.has_error()) return IntegrityError("the receipt is no JWS: " + read.error().detail);
  const auto receipt = ReadReceipt(read.value());
  if (receipt.has_error()) return IntegrityError("what was given " + receipt.error().detail);
  const std::string& kid = read.value().header.kid;
  const bool good = std::any_of(keys.begin(), keys.end(), [&](const SigningKey& key) {
    return (key.kid.empty() || key.kid == kid) && VerifyJws(read.value(), key.spki).has_value();
  });
  if (!good) {
    return IntegrityError(
        "the receipt is signed by none of the keys that are given, or was changed; it names '" + kid +
        "' as its signer");
  }
  return receipt.value();
}

Status CheckReceiptOf(const DeliveryReceipt& receipt, const KeyAnswer& answer, const std::string& root) {
  if (!IsApiRoot(receipt.issuer)) return IntegrityError("the receipt names no server");
  const ApiRootParts said = SplitApiRoot(receipt.issuer);
  const ApiRootParts asked = SplitApiRoot(root);
  if (said.authority != asked.authority || said.prefix != asked.prefix)
    return IntegrityError("the receipt is of '" + receipt.issuer + "', and the answer came from '" + root +
                          "'");
  if (receipt.digest != answer.body_sha256) return IntegrityError("the receipt is of another answer");
  for (const ReceivedKey& key : answer.keys)
    if (!Names(receipt, key.kid)) return IntegrityError("the receipt does not name key '" + key.kid + "'");
  for (const ReceivedPayload& payload : answer.payloads)
    if (!Names(receipt, payload.kid))
      return IntegrityError("the receipt does not name payload '" + payload.kid + "'");
  return Ok();
}

}  // namespace skms::client
