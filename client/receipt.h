// Receipts of deliveries (base/delivery_receipt.h), as their holder checks them: that the server's token
// signed one, and that it speaks of the very answer that it came with.
//
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "base/delivery_receipt.h"
#include "base/result.h"
#include "client/key_answer.h"

namespace skms::client {

struct SigningKey {
  std::string kid;  ///< "skms-sign-<n>"; empty: of a file, which does not say
  Bytes spki;       ///< SubjectPublicKeyInfo DER
};

/// What the receipt says, once one of `keys` has signed it. Errors: kIntegrity (no receipt, or by another
/// key).
Result<DeliveryReceipt> VerifyReceipt(const std::string& jws, const std::vector<SigningKey>& keys);

/// Does it speak of this answer of the server at `root`? Errors: kIntegrity, with what differs.
Status CheckReceiptOf(const DeliveryReceipt& receipt, const KeyAnswer& answer, const std::string& root);

}  // namespace skms::client
