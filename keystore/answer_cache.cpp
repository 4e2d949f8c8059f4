#include "keystore/answer_cache.h"

#include <string_view>
#include <utility>
#include <variant>

namespace skms::keystore {
namespace {

// What an entry costs beside its ciphertexts: nodes of list and map, as the allocator rounds them up.
constexpr std::size_t kEntryBytes = 320;

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

Sha256Digest NameOf(const hsm::Recipient& recipient, const hsm::WrappedKey& key, const hsm::KeySpec& spec,
                    ByteView public_key) {
  Bytes octets;
  AppendField(octets, std::string_view("key"));
  AppendField(octets, static_cast<std::int64_t>(recipient.index()));
  if (const auto* rsa = std::get_if<hsm::RsaRecipient>(&recipient)) AppendField(octets, ByteView(rsa->spki));
  if (const auto* ec = std::get_if<hsm::EcRecipient>(&recipient)) AppendField(octets, ByteView(ec->spki));
  if (const auto* transport = std::get_if<hsm::TransportKeyRecipient>(&recipient))
    AppendKey(octets, transport->key);
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
  if (most_bytes_ == 0) return keystore::CheckRowMac(module, fields, mac, row);
  const Sha256Digest name = NameOf(fields, mac);
  std::optional<hsm::DeliveredKey> none;
  if (Knows(name, none)) return Ok();
  const std::uint64_t asked = era();
  SKMS_TRYV(keystore::CheckRowMac(module, fields, mac, row));
  Keep({name, std::nullopt, kEntryBytes}, asked);
  return Ok();
}

void AnswerCache::Learn(const RowFields& fields, const RowMac& mac) {
  if (most_bytes_ > 0) Keep({NameOf(fields, mac), std::nullopt, kEntryBytes}, era());
}

Result<hsm::DeliveredKey> AnswerCache::RewrapFor(hsm::CryptoModule& module, const hsm::Recipient& recipient,
                                                 const hsm::WrappedKey& key, const hsm::KeySpec& spec,
                                                 ByteView public_key) {
  if (most_bytes_ == 0 || key.format == hsm::kFormatTrusted)
    return module.RewrapFor(recipient, key, spec, public_key);
  const Sha256Digest name = NameOf(recipient, key, spec, public_key);
  std::optional<hsm::DeliveredKey> known;
  if (Knows(name, known) && known) return std::move(*known);
  const std::uint64_t asked = era();
  SKMS_TRY(hsm::DeliveredKey made, module.RewrapFor(recipient, key, spec, public_key));
  Keep({name, made, kEntryBytes + BytesOf(made)}, asked);
  return made;
}

void AnswerCache::Clear() {
  const std::lock_guard lock(mutex_);
  by_name_.clear();
  by_use_.clear();
  bytes_ = 0;
  ++era_;
}

bool AnswerCache::Knows(const Sha256Digest& name, std::optional<hsm::DeliveredKey>& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return false;
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  key = found->second->key;
  return true;
}

std::uint64_t AnswerCache::era() const {
  const std::lock_guard lock(mutex_);
  return era_;
}

void AnswerCache::Keep(Entry entry, std::uint64_t era) {
  const std::lock_guard lock(mutex_);
  if (era != era_ || entry.bytes > most_bytes_ || by_name_.count(entry.name) > 0) return;
  bytes_ += entry.bytes;
  by_use_.push_front(std::move(entry));
  by_name_.emplace(by_use_.front().name, by_use_.begin());
  while (bytes_ > most_bytes_) {
    bytes_ -= by_use_.back().bytes;
    by_name_.erase(by_use_.back().name);
    by_use_.pop_back();
  }
}

}  // namespace skms::keystore
