// SHA-256 and HMAC-SHA-256 in software (OpenSSL): for fingerprints, chains and pseudonyms, never for token
// keys.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "base/bytes.h"

namespace skms {

using Sha256Digest = std::array<std::uint8_t, 32>;

Sha256Digest Sha256(ByteView bytes);
Sha256Digest HmacSha256(ByteView key, ByteView bytes);

/// Appends `field` preceded by its length (8 bytes, big-endian): two different lists of fields never give the
/// same octets, so the result is safe to hash or MAC.
void AppendField(Bytes& out, ByteView field);
void AppendField(Bytes& out, std::string_view field);
void AppendField(Bytes& out, std::int64_t number);

}  // namespace skms
