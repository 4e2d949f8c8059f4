#include "base/chunk_cipher.h"

#include <doctest/doctest.h>

#include "base/encoding.h"

namespace skms {
namespace {

ChunkCipher CipherOf(std::uint8_t octet) {
  return ChunkCipher::Of(SecretBytes::CopyOf(Bytes(ChunkCipher::kKeyBytes, octet))).value();
}

const Bytes kPlain = {1, 2, 3, 4, 5};

TEST_CASE("a chunk opens in its place of its stream alone") {
  const ChunkCipher cipher = CipherOf(7);
  const Bytes sealed = cipher.Seal(3, false, kPlain).value();
  CHECK(sealed.size() == kPlain.size() + ChunkCipher::kTagBytes);
  CHECK(cipher.Open(3, false, sealed).value() == kPlain);
  CHECK(cipher.Open(3, true, sealed).error().code == ErrorCode::kIntegrity);
  CHECK(cipher.Open(2, false, sealed).has_error());
  CHECK(cipher.Open(3 + (std::uint64_t{1} << 32U), false, sealed).has_error());
  CHECK(CipherOf(8).Open(3, false, sealed).has_error());
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    Bytes changed = sealed;
    changed[i] ^= 0x80U;
    CHECK(cipher.Open(3, false, changed).has_error());
  }
  CHECK(cipher.Open(3, false, ByteView(sealed).first(sealed.size() - 1)).has_error());
  CHECK(cipher.Open(3, false, {}).has_error());
}

TEST_CASE("a chunk without octets opens to none") {
  const ChunkCipher cipher = CipherOf(7);
  CHECK(cipher.Open(0, true, cipher.Seal(0, true, {}).value()).value().empty());
}

TEST_CASE("it is AES-256-GCM with the number and the end in the nonce") {
  // openssl's own answer for key 00…00, nonce 00…00, one block of zeros (test case 14 of the GCM paper).
  CHECK(ToHex(CipherOf(0).Seal(0, false, Bytes(16, 0)).value()) ==
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

TEST_CASE("a key of another length is refused") {
  CHECK(ChunkCipher::Of(SecretBytes::CopyOf(Bytes(16, 1))).error().code == ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skms
