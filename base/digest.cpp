#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <cstdlib>

namespace skms {

namespace {

/// Looked up once: OpenSSL looks anew for each digest that is asked for by name. Never freed.
const EVP_MD* Sha256Method() {
  static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA2-256", nullptr);
  return method;
}

}  // namespace

Sha256Digest Sha256(ByteView bytes) {
  Sha256Digest digest{};
  // Fails only without memory or without a digest provider; either leaves nothing sensible to do.
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, Sha256Method(), nullptr) != 1)
    std::abort();
  return digest;
}

Sha256Digest HmacSha256(ByteView key, ByteView bytes) {
  Sha256Digest digest{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes.data(), bytes.size(), digest.data(),
           &size) == nullptr) {
    std::abort();
  }
  return digest;
}

namespace {
void AppendLength(Bytes& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(value >> static_cast<unsigned>(shift)));
}
}  // namespace

void AppendField(Bytes& out, ByteView field) {
  AppendLength(out, field.size());
  out.insert(out.end(), field.begin(), field.end());
}

void AppendField(Bytes& out, std::string_view field) { AppendField(out, AsBytes(field)); }

void AppendField(Bytes& out, std::int64_t number) {
  AppendLength(out, 8);
  AppendLength(out, static_cast<std::uint64_t>(number));
}

}  // namespace skms
