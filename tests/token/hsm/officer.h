// A token whose security officer made a strict KEK, and recipients that he may mark.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>

#include "hsm/openssl_keys.h"
#include "hsm/security_officer.h"
#include "tests/token/soft_token.h"

namespace skms::test {

inline SecretBytes OfficerPin() { return SecretBytes::CopyOf(AsBytes(SoftToken::kOfficerPin)); }

/// An RSA key pair outside the token.
struct Holder {
  hsm::PkeyPtr key = hsm::GenerateRsa().value();
  Bytes spki = hsm::PublicSpki(key.get()).value();
  hsm::Recipient recipient = hsm::RsaRecipient{spki};

  SecretBytes Open(const hsm::DeliveredKey& delivered) const {
    auto key_octets = hsm::OaepDecrypt(key.get(), hsm::OaepHash::kSha1, delivered.encrypted_key);
    REQUIRE(key_octets.has_value());
    return std::move(key_octets).value();
  }
};

/// Provisioned, with "skms-strict-kek-1"; no module is open on it. The keys are copies of the first ones that
/// this process made, as SoftToken's are.
class OfficerToken : public SoftToken {
 public:
  OfficerToken() {
    static const TemporaryDirectory model;
    const std::filesystem::path kept = model.File("tokens");
    const std::filesystem::path ours = directory() + "/tokens";
    if (std::filesystem::exists(kept)) {
      std::filesystem::remove_all(ours);
      std::filesystem::copy(kept, ours, std::filesystem::copy_options::recursive);
      KeepKeysOfItsOwn();
      return;
    }
    Provision();
    const auto made = hsm::MakeStrictKek(options(), pin(), OfficerPin(), false);
    REQUIRE_MESSAGE(made.has_value(), (made.has_error() ? made.error().detail : ""));
    std::filesystem::copy(ours, kept, std::filesystem::copy_options::recursive);
  }
  void Trust(const Holder& holder) const {
    REQUIRE(hsm::TrustRecipient(options(), OfficerPin(), holder.spki).has_value());
  }
  std::unique_ptr<hsm::CryptoModule> Open() const {
    auto module = hsm::CryptoModule::Open(options(), pin_source());
    REQUIRE(module.has_value());
    return std::move(module).value();
  }
};

}  // namespace skms::test
