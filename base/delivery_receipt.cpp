#include "base/delivery_receipt.h"

#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "base/plain_json.h"

namespace skms {

std::string ReceiptWord(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string word;
  word.reserve(text.size());
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet > 0x20 && octet < 0x7F && c != '"' && c != '\\' && c != '%') {
      word += c;
      continue;
    }
    word += '%';
    word += kDigits[octet >> 4U];
    word += kDigits[octet & 0xFU];
  }
  return word;
}

std::string ReceiptPayload(const DeliveryReceipt& receipt) {
  return PlainJsonWriter()
      .Text("iss", receipt.issuer)
      .Number("iat", receipt.issued_at)
      .Text("sub", receipt.subject)
      .Text("jti", receipt.request_id)
      .Text("service", receipt.service)
      .Text("kids", receipt.kids)
      .Number("seq", receipt.entry)
      .Text("hash", receipt.entry_hash)
      .Text("digest", ToBase64Url(receipt.digest))
      .Done();
}

Result<DeliveryReceipt> ReadReceipt(const Jws& jws) {
  PlainJsonReader reader(jws.payload);
  auto issuer = reader.Text("iss");
  const auto issued_at = reader.Number("iat");
  auto subject = reader.Text("sub");
  auto request_id = reader.Text("jti");
  auto service = reader.Text("service");
  auto kids = reader.Text("kids");
  const auto entry = reader.Number("seq");
  auto hash = reader.Text("hash");
  const auto digest = reader.Text("digest");
  const auto octets = digest ? FromBase64Url(*digest) : std::nullopt;
  DeliveryReceipt receipt;
  const bool whole = issuer && issued_at && subject && request_id && service && kids && entry && *entry > 0 &&
                     hash && hash->size() == 64 && octets && octets->size() == receipt.digest.size() &&
                     reader.AtEnd();
  if (jws.header.typ != kReceiptType || !whole) return InvalidArgument("is no receipt of a delivery");
  receipt.issuer = std::move(*issuer);
  receipt.issued_at = *issued_at;
  receipt.subject = std::move(*subject);
  receipt.request_id = std::move(*request_id);
  receipt.service = std::move(*service);
  receipt.kids = std::move(*kids);
  receipt.entry = *entry;
  receipt.entry_hash = std::move(*hash);
  std::copy(octets->begin(), octets->end(), receipt.digest.begin());
  return receipt;
}

}  // namespace skms
