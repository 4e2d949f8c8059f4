#include "base/chunk_cipher.h"

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

namespace skms {
namespace {

constexpr std::size_t kNonceBytes = 12;
using Nonce = std::array<std::uint8_t, kNonceBytes>;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

/// Eleven octets of the number, one that says whether it is the last.
Nonce NonceOf(std::uint64_t number, bool last) {
  Nonce nonce{};
  for (std::size_t i = 0; i < sizeof(number); ++i)
    nonce[kNonceBytes - 2 - i] = static_cast<std::uint8_t>(number >> (8 * i));
  nonce[kNonceBytes - 1] = last ? 1 : 0;
  return nonce;
}

Error NotThatChunk(std::uint64_t number) {
  return IntegrityError("part " + std::to_string(number) + " does not open");
}

}  // namespace

Result<ChunkCipher> ChunkCipher::Of(SecretBytes key) {
  if (key.size() != kKeyBytes) return InvalidArgument("the key of a stream has 32 octets");
  return ChunkCipher(std::move(key));
}

Result<Bytes> ChunkCipher::Seal(std::uint64_t number, bool last, ByteView plain) const {
  const Nonce nonce = NonceOf(number, last);
  const Context context(EVP_CIPHER_CTX_new());
  Bytes sealed(plain.size() + kTagBytes);
  int written = 0;
  int ended = 0;
  const bool done = context != nullptr &&
                    EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_.ExposeSecret().data(),
                                       nonce.data()) == 1 &&
                    EVP_EncryptUpdate(context.get(), sealed.data(), &written, plain.data(),
                                      static_cast<int>(plain.size())) == 1 &&
                    EVP_EncryptFinal_ex(context.get(), sealed.data() + written, &ended) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagBytes),
                                        sealed.data() + plain.size()) == 1;
  if (!done) return InternalError("OpenSSL does not encrypt with AES-256-GCM");
  return sealed;
}

Result<Bytes> ChunkCipher::Open(std::uint64_t number, bool last, ByteView sealed) const {
  if (sealed.size() < kTagBytes) return NotThatChunk(number);
  const Nonce nonce = NonceOf(number, last);
  const Context context(EVP_CIPHER_CTX_new());
  const ByteView body = sealed.first(sealed.size() - kTagBytes);
  Bytes tag(sealed.begin() + static_cast<std::ptrdiff_t>(body.size()), sealed.end());
  Bytes plain(body.size() + 1);  // never empty: OpenSSL takes a null pointer for something else
  int written = 0;
  int ended = 0;
  const bool done = context != nullptr &&
                    EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_.ExposeSecret().data(),
                                       nonce.data()) == 1 &&
                    EVP_DecryptUpdate(context.get(), plain.data(), &written, body.data(),
                                      static_cast<int>(body.size())) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kTagBytes),
                                        tag.data()) == 1 &&
                    EVP_DecryptFinal_ex(context.get(), plain.data() + written, &ended) == 1;
  if (!done) return NotThatChunk(number);
  plain.resize(body.size());
  return plain;
}

}  // namespace skms
