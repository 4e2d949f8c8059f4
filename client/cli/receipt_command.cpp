#include "client/cli/receipt_command.h"

#include <iomanip>
#include <iostream>
#include <utility>
#include <vector>

#include "base/date_time.h"
#include "base/file.h"
#include "base/public_key_file.h"
#include "client/printable.h"
#include "client/receipt.h"

namespace skms::client {
namespace {

void PrintClaim(const char* name, const std::string& value) {
  std::cout << std::left << std::setw(12) << name << Printable(value) << '\n';
}

}  // namespace

int KeepReceipt(KeyManagementClient& client, const KeyAnswer& answer, const Given& given) {
  if (given.count("receipt") == 0) return 0;
  const auto receipt = client.CheckReceipt(answer);
  if (receipt.has_error()) {
    const bool none = receipt.error().code == ErrorCode::kNotFound;
    return Complain(
        receipt.error().detail,
        none ? "ask again in a moment: its token may not sign just now; or leave out --receipt" : "",
        receipt.error().code == ErrorCode::kIo ? kExitNetwork : kExitClosed);
  }
  const Status written = WriteFileAtomically(Value(given, "receipt"), AsBytes(answer.receipt + "\n"), 0600);
  return written.has_error() ? Complain(written.error().detail, "", kExitFile) : 0;
}

void DescribeReceipt(Options& options) {
  options.add_options()(
      "public-key", boost::program_options::value<std::vector<std::string>>()->value_name("FILE")->required(),
      "the server's public key (PEM), as skmsctl audit key prints it; give several where it has had several");
}

int RunReceipt(const Given& given) {
  constexpr std::size_t kMostOctets = 65536;
  std::vector<SigningKey> keys;
  for (const std::string& file : given["public-key"].as<std::vector<std::string>>()) {
    auto some = ReadPublicKeys(file);
    if (some.has_error()) return Complain(some.error().detail, "", kExitFile);
    for (Bytes& spki : some.value()) keys.push_back({"", std::move(spki)});
  }
  auto text = ReadFile(given["argument"].as<std::string>(), kMostOctets);
  if (text.has_error()) return Complain(text.error().detail, "", kExitFile);
  std::string& jws = text.value();
  while (!jws.empty() && (jws.back() == '\n' || jws.back() == '\r')) jws.pop_back();
  const auto verified = VerifyReceipt(jws, keys);
  if (verified.has_error()) return Complain(verified.error().detail, "", kExitClosed);
  const DeliveryReceipt& receipt = verified.value();
  PrintClaim("server", receipt.issuer);
  PrintClaim("time", FormatUtc(receipt.issued_at));
  PrintClaim("to", receipt.subject);
  PrintClaim("service", receipt.service);
  PrintClaim("keys", receipt.kids);
  PrintClaim("request", receipt.request_id);
  PrintClaim("audit entry", std::to_string(receipt.entry) + " " + receipt.entry_hash);
  return 0;
}

}  // namespace skms::client
