#include "client/open_key.h"

#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/encoding.h"
#include "client/crypto.h"
#include "client/json_text.h"

namespace skms::client {
namespace {

constexpr std::pair<std::string_view, std::size_t> kKeyOctets[] = {
    {"A128GCM", 16}, {"A256GCM", 32}, {"HS256", 32}};

/// Also the SharedInfo of its KDF (docs/wire-format.md).
constexpr std::string_view kEcdh = "ECDH-ES+A256KWP";

bool EndsWith(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

OaepHash HashOf(const std::string& alg) {
  return EndsWith(alg, "-256") ? OaepHash::kSha256 : OaepHash::kSha1;
}

Error NeedsRsa(const std::string& recipient) {
  return InvalidArgument("it is wrapped to RSA recipient '" + recipient +
                         "': an RSA private key is needed (--recipient-key)");
}

Error NeedsEc(const std::string& recipient) {
  return InvalidArgument("it is wrapped to EC recipient '" + recipient +
                         "': an EC private key is needed (--recipient-key)");
}

Error NeedsTransport(const std::string& recipient) {
  return InvalidArgument("it is wrapped under transport key '" + recipient +
                         "': that key is needed (--transport-key)");
}

Error Unknown(const std::string& alg) {
  return {ErrorCode::kUnsupported, "it is wrapped by '" + alg + "', which this client does not know"};
}

/// Some tokens pad PKCS#8 with zeros to eight octets; the DER says its own length.
Result<SecretBytes> TrimPkcs8(SecretBytes der) {
  const unsigned char* data = der.ExposeSecret().data();
  const unsigned char* end = data;
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, void (*)(PKCS8_PRIV_KEY_INFO*)> info(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &end, static_cast<long>(der.size())), &PKCS8_PRIV_KEY_INFO_free);
  if (!info) return IntegrityError("the opened key is not PKCS#8");
  der.Truncate(static_cast<std::size_t>(end - data));
  return der;
}

Result<SecretBytes> OpenMaterial(const ReceivedKey& key, const RecipientKey& recipient) {
  const bool oaep = key.wrap_alg == "RSA-OAEP" || key.wrap_alg == "RSA-OAEP-256";
  const bool rsa_aes = key.wrap_alg == "RSA-AES-KWP" || key.wrap_alg == "RSA-AES-KWP-256";
  if (oaep || rsa_aes) {
    if (recipient.private_key_path.empty()) return NeedsRsa(key.recipient);
    SKMS_TRY(SecretBytes block,
             OaepDecrypt(recipient.private_key_path, HashOf(key.wrap_alg), key.encrypted_key));
    if (oaep) return block;
    return UnwrapKwp(block.ExposeSecret(), key.wrapped_key);
  }
  if (key.wrap_alg == kEcdh) {
    if (recipient.private_key_path.empty()) return NeedsEc(key.recipient);
    SKMS_TRY(const SecretBytes agreed, EcdhX963(recipient.private_key_path, key.ephemeral, AsBytes(kEcdh)));
    return UnwrapKwp(agreed.ExposeSecret(), key.encrypted_key);
  }
  if (key.wrap_alg == "A256KWP") {
    if (recipient.transport_key.empty()) return NeedsTransport(key.recipient);
    return UnwrapKwp(recipient.transport_key.ExposeSecret(), key.encrypted_key);
  }
  return Unknown(key.wrap_alg);
}

Result<SecretBytes> OpenContentKey(const ReceivedPayload& payload, const RecipientKey& recipient) {
  if (payload.alg == "RSA-OAEP" || payload.alg == "RSA-OAEP-256") {
    if (recipient.private_key_path.empty()) return NeedsRsa(payload.recipient);
    return OaepDecrypt(recipient.private_key_path, HashOf(payload.alg), payload.encrypted_key);
  }
  if (payload.alg == "A256KW") {
    if (recipient.transport_key.empty()) return NeedsTransport(payload.recipient);
    return UnwrapKw(recipient.transport_key.ExposeSecret(), payload.encrypted_key);
  }
  return Unknown(payload.alg);
}

}  // namespace

Result<SecretBytes> OpenKey(const ReceivedKey& key, const RecipientKey& recipient) {
  SecretBytes plain = key.plaintext.Clone();
  if (plain.empty()) {
    SKMS_TRY(plain, OpenMaterial(key, recipient));
  }
  if (key.alg == "ES256") return TrimPkcs8(std::move(plain));
  // OAEP says nothing of who wrapped: what opens to another length is no key of this alg.
  for (const auto& [alg, octets] : kKeyOctets) {
    if (key.alg != alg) continue;
    if (plain.size() != octets)
      return IntegrityError("the opened key has " + std::to_string(plain.size()) + " octets, not the " +
                            std::to_string(octets) + " of " + key.alg);
    return plain;
  }
  return Error{ErrorCode::kUnsupported, "the key is for '" + key.alg + "', which this client does not know"};
}

Result<SecretBytes> OpenPayload(const ReceivedPayload& payload, const RecipientKey& recipient) {
  if (!payload.plaintext.empty()) return payload.plaintext.Clone();
  // Everything that is protected must be understood (RFC 7516 5.2): the server's header says `enc` alone.
  const auto header = FromBase64Url(payload.protected_header);
  const nlohmann::json said = header ? ParseJson(AsText(*header)) : nlohmann::json();
  if (!said.is_object() || said.size() != 1 || Text(said, "enc") != "A256GCM")
    return Error{ErrorCode::kUnsupported, "the payload's protected header is not {\"enc\":\"A256GCM\"}"};
  SKMS_TRY(const SecretBytes content_key, OpenContentKey(payload, recipient));
  return OpenGcm(content_key.ExposeSecret(), {payload.iv, payload.ciphertext, payload.tag},
                 AsBytes(payload.protected_header));
}

}  // namespace skms::client
