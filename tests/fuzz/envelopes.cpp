// Keys and payloads under other keys: JWEs that a provisioner sends to the server, and what a client opens.
// The first line says which; the lines after it are the parts.
#include "api/seal/jwe.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/file.h"
#include "client/open_key.h"
#include "hsm/openssl_keys.h"
#include "tests/fuzz/credentials.h"
#include "tests/fuzz/property.h"
#include "tests/support/temporary_directory.h"

namespace skms::fuzz {
namespace {

using client::ReceivedKey;
using client::ReceivedPayload;

void CheckJwe(std::string_view input) {
  const seal::TransferKeys ours{{1, 3}, "RSA-OAEP-256"};
  const auto read = seal::ReadJweForUs(AsBytes(input), ours);
  if (!read) return;
  if (read->has_error()) {
    Require(read->error().code == ErrorCode::kInvalidArgument && !read->error().detail.empty(),
            "a JWE that is refused says why", read->error().detail);
    return;
  }
  const hsm::TransferredPayload& payload = read->value();
  Require(payload.generation == 1 || payload.generation == 3, "it is to a key that there is", input);
  Require(payload.nonce.size() == 12 && payload.ciphertext.size() >= 16,
          "its parts have the lengths of A256GCM", input);
  if (input.front() == '{') return;
  const ByteView sealed(payload.ciphertext);
  const std::string compact =
      AsText(payload.aad) + "." + ToBase64Url(payload.encrypted_key) + "." + ToBase64Url(payload.nonce) +
      "." + ToBase64Url(sealed.first(sealed.size() - 16)) + "." + ToBase64Url(sealed.last(16));
  Require(compact == input, "its parts are those that were sent", compact);
}

/// The keys of a recipient, in files of their own.
class Recipients {
 public:
  Recipients() {
    Write("ec.pem", EcKey());
    Write("rsa.pem", RsaKey());
  }
  client::RecipientKey With(const char* file) const {
    return {directory_.File(file), SecretBytes::CopyOf(Bytes(32, 0x4b))};
  }

 private:
  void Write(const char* file, EVP_PKEY* key) {
    Require(WriteFileAtomically(directory_.File(file), AsBytes(PrivatePem(key)), 0600).has_value(),
            "a key is written");
  }
  test::TemporaryDirectory directory_;
};

Bytes Octets(std::string_view text) { return FromBase64Url(text).value_or(Bytes{}); }

void CheckError(const Error& error) {
  const ErrorCode code = error.code;
  Require(code == ErrorCode::kIntegrity || code == ErrorCode::kUnsupported ||
              code == ErrorCode::kConfiguration || code == ErrorCode::kInvalidArgument,
          "what does not open is told as such", error.Describe());
  Require(!error.detail.empty(), "and why");
}

void CheckKey(std::string_view input, const client::RecipientKey& recipient) {
  ReceivedKey key;
  key.alg = TakeUntil(input, '\n');
  key.wrap_alg = TakeUntil(input, '\n');
  key.encrypted_key = Octets(TakeUntil(input, '\n'));
  key.wrapped_key = Octets(TakeUntil(input, '\n'));
  key.ephemeral.curve = TakeUntil(input, '\n');
  key.ephemeral.x = Octets(TakeUntil(input, '\n'));
  key.ephemeral.y = Octets(TakeUntil(input, '\n'));
  const auto opened = client::OpenKey(key, recipient);
  if (opened.has_error()) return CheckError(opened.error());
  if (key.alg == "ES256") return;
  Require(opened.value().size() == (key.alg == "A128GCM" ? 16U : 32U), "a key has the length of its alg",
          key.alg);
  if (key.wrap_alg != "A256KWP") return;
  const auto again = hsm::WrapRfc5649(recipient.transport_key.ExposeSecret(), opened.value().ExposeSecret());
  Require(again.has_value() && again.value() == key.encrypted_key, "it opens to what was wrapped",
          key.wrap_alg);
}

void CheckPayload(std::string_view input, const client::RecipientKey& recipient) {
  ReceivedPayload payload;
  payload.alg = TakeUntil(input, '\n');
  payload.protected_header = TakeUntil(input, '\n');
  payload.encrypted_key = Octets(TakeUntil(input, '\n'));
  payload.iv = Octets(TakeUntil(input, '\n'));
  payload.ciphertext = Octets(TakeUntil(input, '\n'));
  payload.tag = Octets(TakeUntil(input, '\n'));
  const auto opened = client::OpenPayload(payload, recipient);
  if (opened.has_error()) return CheckError(opened.error());
  Require(opened.value().size() == payload.ciphertext.size(), "a payload is as long as its ciphertext");
  payload.tag.back() ^= 1U;
  Require(client::OpenPayload(payload, recipient).has_error(), "a changed payload does not open");
}

void CheckEnvelopes(std::string_view input) {
  static const Recipients recipients;
  std::string_view rest = input;
  const std::string_view kind = TakeUntil(rest, '\n');
  if (kind == "jwe") CheckJwe(rest);
  if (kind == "ec") CheckKey(rest, recipients.With("ec.pem"));
  if (kind == "rsa") CheckKey(rest, recipients.With("rsa.pem"));
  if (kind == "payload") CheckPayload(rest, recipients.With("rsa.pem"));
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(envelopes, skms::fuzz::CheckEnvelopes)
