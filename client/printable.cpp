#include "client/printable.h"

#include "base/encoding.h"

namespace skms::client {

std::string Printable(std::string text) {
  const bool utf8 = IsValidUtf8(text);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto octet = static_cast<unsigned char>(text[i]);
    if (octet < 0x20 || octet == 0x7f || (!utf8 && octet >= 0x80)) text[i] = '?';
    // U+0080 to U+009F are C2 80 to C2 9F.
    if (utf8 && octet == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0) text[i] = text[i + 1] = '?';
  }
  return text;
}

}  // namespace skms::client
