#include "api/seal/receipt.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "base/delivery_receipt.h"
#include "base/digest.h"
#include "base/log.h"

namespace skms::seal {
namespace {

/// A head larger than 8 KiB is refused by clients and proxies, and base64 takes a third more.
constexpr std::size_t kMostClaimOctets = 4096;

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t first = std::min(text.find_first_not_of(kBlanks), text.size());
  text.remove_prefix(first);
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

bool SameToken(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

void AddWord(std::string& words, const std::string& word) {
  if (!words.empty()) words += ' ';
  words += ReceiptWord(word);
}

DeliveryReceipt ReceiptOf(std::span<const keystore::DeliveryAnswer> delivered) {
  DeliveryReceipt receipt;
  for (const keystore::DeliveryAnswer& answer : delivered) {
    receipt.subject = ReceiptWord(answer.actor);
    receipt.entry = answer.recorded.entries;
    receipt.entry_hash = answer.recorded.head;
    AddWord(receipt.service, answer.service->id.value());
    for (const keystore::DeliveredVersion& key : answer.keys) AddWord(receipt.kids, key.version.kid.value());
    for (const keystore::DeliveredPayload& each : answer.payloads) AddWord(receipt.kids, each.payload.id);
  }
  return receipt;
}

}  // namespace

bool PrefersReceipt(const http::Request& request) {
  for (const auto& [name, value] : request.headers.fields()) {
    if (!SameToken(name, "Prefer")) continue;
    for (std::string_view left = value; !left.empty();) {
      const std::size_t comma = std::min(left.find(','), left.size());
      if (SameToken(Trimmed(left.substr(0, comma)), kReceiptPreference)) return true;
      left.remove_prefix(std::min(comma + 1, left.size()));
    }
  }
  return false;
}

void AddReceipt(const Reception& reception, const http::Request& request, const http::RequestContext& context,
                std::span<const keystore::DeliveryAnswer> delivered, http::Response& response) {
  if (!PrefersReceipt(request)) return;
  DeliveryReceipt receipt = ReceiptOf(delivered);
  if (receipt.entry == 0) return;  // nothing was delivered
  const auto signature = [&]() -> Result<std::string> {
    const auto& [store, authenticator, clock] = reception.dependencies();
    receipt.issuer = reception.options().api_root;
    receipt.issued_at = clock.NowSeconds();
    receipt.request_id = context.request_id;
    receipt.digest = Sha256(AsBytes(response.body));
    if (ReceiptPayload(receipt).size() > kMostClaimOctets)
      return Error{ErrorCode::kTooLarge, "it names more keys than a header field has room for"};
    return store.SignReceipt(receipt);
  }();
  if (signature.has_error()) {
    LogWarning("no receipt for the answer to request " + context.request_id + ": " +
               signature.error().Describe());
    return;
  }
  response.headers.Set(kReceiptField, signature.value());
  response.headers.Set("Preference-Applied", kReceiptPreference);
}

}  // namespace skms::seal
