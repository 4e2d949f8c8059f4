#include "provisioning/pin_entry.h"

#include <openssl/ui.h>

#include <array>
#include <cstring>

namespace skms::provisioning {

Result<SecretBytes> AskPin(const std::string& label) {
  std::array<char, appliance::kMaxPinBytes + 2> typed{};
  // The terminal is OpenSSL's to handle: echo off, and on again whatever signal comes.
  const std::string prompt = label.empty() ? "PIN of the token: " : "PIN of token '" + label + "': ";
  std::array<char, appliance::kMaxPinBytes + 2> scratch{};
  const int failed =
      UI_UTIL_read_pw(typed.data(), scratch.data(), static_cast<int>(typed.size()), prompt.c_str(), 0);
  SecretBytes pin = SecretBytes::CopyOf(
      {reinterpret_cast<const std::uint8_t*>(typed.data()), ::strnlen(typed.data(), typed.size())});
  Wipe({reinterpret_cast<std::uint8_t*>(typed.data()), typed.size()});
  Wipe({reinterpret_cast<std::uint8_t*>(scratch.data()), scratch.size()});
  if (failed != 0) {
    return InvalidArgument("no PIN was entered (at most " + std::to_string(appliance::kMaxPinBytes) +
                           " octets)");
  }
  if (pin.empty()) return InvalidArgument("the PIN that was entered is empty");
  return pin;
}

Result<SecretBytes> PinFor(const appliance::TokenSection& token) {
  return token.attended ? AskPin(token.label) : appliance::ReadPin(token);
}

}  // namespace skms::provisioning
