#include "hsm/wrapped_key.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace skms::hsm {

Recipient PublicKeyRecipient(Bytes spki) {
  // id-ecPublicKey (RFC 5480), as the first element of the first element: behind two headers of 2 to 5
  // octets.
  constexpr std::uint8_t kEc[] = {0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01};
  constexpr std::size_t kMostHeaders = 10;
  const auto end =
      spki.begin() + static_cast<std::ptrdiff_t>(std::min(spki.size(), kMostHeaders + sizeof kEc));
  if (std::search(spki.begin(), end, std::begin(kEc), std::end(kEc)) != end)
    return EcRecipient{std::move(spki)};
  return RsaRecipient{std::move(spki)};
}

}  // namespace skms::hsm
