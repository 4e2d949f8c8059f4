// Receipts on demand: an answer with keys carries one in SKMS-Receipt where the request has "Prefer:
// skms-receipt" (RFC 7240), and says so in Preference-Applied. base/delivery_receipt.h says what it is.
//
// Thread-safe.
#pragma once

#include <span>

#include "api/http/message.h"
#include "api/seal/reception.h"
#include "keystore/key_store.h"

namespace skms::seal {

/// Does the request ask for one?
bool PrefersReceipt(const http::Request& request);

/// To a whole answer whose body holds `delivered` and nothing else of keys. A preference is no condition:
/// where the token cannot sign just now, or the keys' ids are too many for a header field, the answer goes
/// out without, and the log says why.
void AddReceipt(const Reception& reception, const http::Request& request, const http::RequestContext& context,
                std::span<const keystore::DeliveryAnswer> delivered, http::Response& response);

}  // namespace skms::seal
