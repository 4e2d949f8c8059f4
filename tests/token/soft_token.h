// SoftToken: a SoftHSM2 token of its own for one test case, in a directory of its own, gone afterwards.
//
// One at a time in a process (SOFTHSM2_CONF is process-wide and read by C_Initialize), and it must outlive
// every CryptoModule opened on it.
#pragma once

#include <string>

#include "base/secret_bytes.h"
#include "hsm/crypto_module.h"
#include "tests/support/temporary_directory.h"

namespace skms::test {

inline constexpr const char* kSoftHsmModule = "/usr/lib/softhsm/libsofthsm2.so";

class SoftToken {
 public:
  /// An initialised token labelled "skms" with user PIN "648219" and security officer's PIN "12345678".
  SoftToken();
  SoftToken(const SoftToken&) = delete;
  SoftToken& operator=(const SoftToken&) = delete;

  /// One more initialised token in the same directory.
  void AddToken(const std::string& label);
  /// Its keys are made anew: for tests that need two tokens to differ.
  void KeepKeysOfItsOwn() { pristine_ = false; }
  /// One more token that its security officer initialised but nobody gave a user PIN.
  void AddTokenWithoutPin(const std::string& label);
  hsm::TokenOptions options() const;
  SecretBytes pin() const { return SecretBytes::CopyOf(AsBytes(kPin)); }
  hsm::PinSource pin_source() const {
    return [] { return Result<SecretBytes>(SecretBytes::CopyOf(AsBytes(kPin))); };
  }
  const std::string& directory() const { return directory_.path(); }

  /// Provisioned and open; aborts the test program when that fails. The keys are copies of the first ones
  /// that this process made, for an RSA pair takes seconds.
  std::unique_ptr<hsm::CryptoModule> Provision() const;

  static constexpr std::string_view kPin = "648219";
  static constexpr std::string_view kOfficerPin = "12345678";
  static constexpr std::string_view kLabel = "skms";

 private:
  TemporaryDirectory directory_;
  bool first_ = true;             ///< no token has been made yet
  mutable bool pristine_ = true;  ///< holds the one token of the constructor, never provisioned
};

/// The module's bare functions, initialised, on the token labelled "skms", logged in: to look behind hsm's
/// back.
class RawSession {
 public:
  explicit RawSession(std::string_view label = SoftToken::kLabel);
  RawSession(const RawSession&) = delete;
  RawSession& operator=(const RawSession&) = delete;
  ~RawSession();

  /// Objects with this label and class, e.g. ("skms-kek-1", CKO_SECRET_KEY).
  std::size_t Count(const std::string& label, unsigned long object_class) const;
  bool Flag(const std::string& label, unsigned long object_class, unsigned long attribute) const;
  /// A secret key of this label, with these flags: to plant what should be refused.
  void PlantSecretKey(const std::string& label, bool extractable) const;
  unsigned long TokenFlags() const;

 private:
  unsigned long Find(const std::string& label, unsigned long object_class, std::size_t* count) const;
  void* functions_ = nullptr;
  void* library_ = nullptr;
  unsigned long slot_ = 0;
  unsigned long session_ = 0;
};

}  // namespace skms::test
