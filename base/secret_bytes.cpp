#include "base/secret_bytes.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

namespace skms {

void Wipe(std::span<std::uint8_t> bytes) noexcept { OPENSSL_cleanse(bytes.data(), bytes.size()); }

void Wipe(std::string& text) noexcept {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

bool ConstantTimeEqual(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

SecretBytes::SecretBytes(std::size_t size) : bytes_(size) {}

SecretBytes SecretBytes::CopyOf(ByteView bytes) {
  SecretBytes secret(bytes.size());
  std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
  return secret;
}

SecretBytes SecretBytes::TakeFrom(Bytes& bytes) {
  SecretBytes secret = CopyOf(bytes);
  Wipe(bytes);
  bytes.clear();
  return secret;
}

SecretBytes SecretBytes::TakeFrom(std::string& text) {
  SecretBytes secret = CopyOf(AsBytes(text));
  Wipe(text);
  return secret;
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept : bytes_(std::move(other.bytes_)) {
  other.bytes_.clear();
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    Clear();
    bytes_ = std::move(other.bytes_);
    other.bytes_.clear();
  }
  return *this;
}

SecretBytes::~SecretBytes() { Clear(); }

SecretBytes SecretBytes::Clone() const { return CopyOf(bytes_); }

void SecretBytes::Truncate(std::size_t size) {
  if (size < bytes_.size()) {
    Wipe(std::span(bytes_).subspan(size));
    bytes_.resize(size);
  }
}

void SecretBytes::Clear() noexcept {
  Wipe(bytes_);
  bytes_.clear();
}

}  // namespace skms
