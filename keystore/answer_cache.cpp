#include "keystore/answer_cache.h"

#include <string_view>
#include <utility>
#include <variant>

namespace skms::keystore {
namespace {

Sha256Digest NameOf(const RowFields& fields, const RowMac& mac) {
  Bytes octets;
  octets.reserve(fields.octets().size() + mac.text.size() + 64);
  AppendField(octets, std::string_view("row"));
  AppendField(octets, static_cast<std::int64_t>(mac.generation));
  AppendField(octets, AsBytes(mac.text));
  octets.insert(octets.end(), fields.octets().begin(), fields.octets().end());
  return Sha256(octets);
}

void AppendKey(Bytes& octets, const hsm::WrappedKey& key) {
  AppendField(octets, static_cast<std::int64_t>(key.kek_generation));
  AppendField(octets, AsBytes(key.format));
  AppendField(octets, ByteView(key.bytes));
}

}  // namespace

void AppendRecipient(Bytes& octets, const hsm::Recipient& recipient) {
  AppendField(octets, static_cast<std::int64_t>(recipient.index()));
  if (const auto* rsa = std::get_if<hsm::RsaRecipient>(&recipient)) AppendField(octets, ByteView(rsa->spki));
  if (const auto* ec = std::get_if<hsm::EcRecipient>(&recipient)) AppendField(octets, ByteView(ec->spki));
  if (const auto* transport = std::get_if<hsm::TransportKeyRecipient>(&recipient))
    AppendKey(octets, transport->key);
}

namespace {

Sha256Digest NameOf(const hsm::Recipient& recipient, const hsm::WrappedKey& key, const hsm::KeySpec& spec,
                    ByteView public_key) {
  Bytes octets;
  AppendField(octets, std::string_view("key"));
  AppendRecipient(octets, recipient);
  AppendKey(octets, key);
  AppendField(octets, static_cast<std::int64_t>(spec.kind));
  AppendField(octets, static_cast<std::int64_t>(spec.bytes));
  AppendField(octets, public_key);
  return Sha256(octets);
}

std::size_t BytesOf(const hsm::DeliveredKey& key) {
  return key.encrypted_key.size() + key.wrapped_key.size() + key.ephemeral_spki.size() + key.alg.size();
}

}  // namespace

Status AnswerCache::CheckRowMac(hsm::CryptoModule& module, const RowFields& fields, const RowMac& mac,
                                const std::string& row) {
  if (known_.most_bytes() == 0) return keystore::CheckRowMac(module, fields, mac, row);
  const Sha256Digest name = NameOf(fields, mac);
  if (known_.Find(name)) return Ok();
  const std::uint64_t asked = known_.era();
  SKMS_TRYV(keystore::CheckRowMac(module, fields, mac, row));
  known_.Keep(name, std::nullopt, sizeof(hsm::DeliveredKey), asked);
  return Ok();
}

void AnswerCache::Learn(const RowFields& fields, const RowMac& mac, std::uint64_t asked) {
  if (known_.most_bytes() == 0) return;
  known_.Keep(NameOf(fields, mac), std::nullopt, sizeof(hsm::DeliveredKey), asked);
}

void AnswerCache::Learn(const hsm::Recipient& recipient, const hsm::WrappedKey& key, const hsm::KeySpec& spec,
                        ByteView public_key, const hsm::DeliveredKey& delivered, std::uint64_t asked) {
  if (known_.most_bytes() == 0) return;
  known_.Keep(NameOf(recipient, key, spec, public_key), delivered,
              sizeof(hsm::DeliveredKey) + BytesOf(delivered), asked);
}

Result<hsm::DeliveredKey> AnswerCache::RewrapFor(hsm::CryptoModule& module, const hsm::Recipient& recipient,
                                                 const hsm::WrappedKey& key, const hsm::KeySpec& spec,
                                                 ByteView public_key) {
  if (known_.most_bytes() == 0 || key.format == hsm::kFormatTrusted)
    return module.RewrapFor(recipient, key, spec, public_key);
  const Sha256Digest name = NameOf(recipient, key, spec, public_key);
  if (auto known = known_.Find(name); known && *known) return std::move(**known);
  const std::uint64_t asked = known_.era();
  SKMS_TRY(hsm::DeliveredKey made, module.RewrapFor(recipient, key, spec, public_key));
  known_.Keep(name, made, sizeof(hsm::DeliveredKey) + BytesOf(made), asked);
  return made;
}

}  // namespace skms::keystore
