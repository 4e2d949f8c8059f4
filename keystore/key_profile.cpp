#include "keystore/key_profile.h"

#include <string>

namespace skms::keystore {
namespace {

constexpr KeyProfile kProfiles[] = {
    {"aes-128", {hsm::KeyKind::kAes, 16}, "A128GCM", "oct", "enc", 128},
    {"aes-256", {hsm::KeyKind::kAes, 32}, "A256GCM", "oct", "enc", 256},
    {"hmac-sha256", {hsm::KeyKind::kGenericSecret, 32}, "HS256", "oct", "sig", 256},
    {"ec-p256", {hsm::KeyKind::kEcPrivate, 0}, "ES256", "EC", "sig", 128},
};

}  // namespace

std::span<const KeyProfile> KeyProfiles() { return kProfiles; }

Result<KeyProfile> FindKeyProfile(std::string_view name) {
  std::string known;
  for (const KeyProfile& profile : kProfiles) {
    if (profile.name == name) return profile;
    known += (known.empty() ? "" : ", ") + std::string(profile.name);
  }
  return InvalidArgument("'" + std::string(name) + "' is no key profile; known: " + known);
}

}  // namespace skms::keystore
