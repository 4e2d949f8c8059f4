// A stream of any length, encrypted in chunks: AES-256-GCM, with the chunk's number and whether it is the
// last in the nonce (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár). A chunk that is left
// out, moved, repeated or taken for the last does not open.
//
// A key is for one stream alone: nothing in the nonce tells two streams apart. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms {

class ChunkCipher {
 public:
  static constexpr std::size_t kKeyBytes = 32;
  static constexpr std::size_t kTagBytes = 16;

  /// Errors: kInvalidArgument: the key has another length.
  static Result<ChunkCipher> Of(SecretBytes key);

  /// The ciphertext with its tag of 16 bytes behind it. Chunks are numbered from 0. Errors: kInternal.
  Result<Bytes> Seal(std::uint64_t number, bool last, ByteView plain) const;
  /// Errors: kIntegrity: it is not that chunk of that stream.
  Result<Bytes> Open(std::uint64_t number, bool last, ByteView sealed) const;

 private:
  explicit ChunkCipher(SecretBytes key) : key_(std::move(key)) {}
  SecretBytes key_;
};

}  // namespace skms
