// The largest JSON documents that resources take, where more than one part must agree on them: the resource,
// and the edge that turns larger ones away before they come this far. Bytes.
#pragma once

#include <cstddef>

namespace skms {

/// A group with its members (SEAL-X1): enough for 10,000 of the longest identities.
inline constexpr std::size_t kMaxGroupDocumentBytes = std::size_t{3} << 20;

/// A provisioning request (TS 33.434 5.8) with a payload of at most `payload_bytes`: base64 takes four octets
/// for three; the rest is for the other members.
constexpr std::size_t ProvisioningDocumentBytes(std::size_t payload_bytes) {
  constexpr std::size_t kOtherMembers = 8192;
  return payload_bytes / 3 * 4 + 4 + kOtherMembers;
}

}  // namespace skms
