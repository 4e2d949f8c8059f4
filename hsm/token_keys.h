// TokenKeys: our few long-lived objects in the token, resolved once, each proven by use.
//
// Handles stay true for the life of the module's initialisation; immutable after Resolve, thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "hsm/capabilities.h"
#include "hsm/crypto_module.h"
#include "hsm/token.h"

namespace skms::hsm {

/// "skms-kek-1" and so on.
std::string TokenKeyLabel(std::string_view role, std::uint32_t generation);

/// The generation in a label "skms-<role>-<n>"; 0 when it is none. Leading zeros are not ours.
std::uint32_t GenerationIn(std::string_view label, std::string_view role);

class TokenKeys {
 public:
  using Handles = std::map<std::uint32_t, CK_OBJECT_HANDLE>;

  /// One pass over the token's objects. Errors: kTokenAmbiguous (two objects of one class and label),
  /// kTokenBlank (a role without any key), kIntegrity (a key that does not work, or a KEK that may leave the
  /// token).
  static Result<TokenKeys> Resolve(Token& token, const Capabilities& capabilities);
  /// Makes generation 1 of every role that has none.
  static Status CreateMissing(Token& token, const Capabilities& capabilities);
  /// Uses every KEK and MAC key once. Errors: kIntegrity, and those of the token itself.
  Status ProveSecrets(SessionLease& lease, const Capabilities& capabilities) const;

  /// Errors: kNotFound: no such generation.
  Result<CK_OBJECT_HANDLE> kek(std::uint32_t generation) const;
  Result<CK_OBJECT_HANDLE> mac(std::uint32_t generation) const;
  CK_OBJECT_HANDLE oldest_mac() const { return macs_.begin()->second; }
  CK_OBJECT_HANDLE newest_kek() const { return keks_.rbegin()->second; }
  CK_OBJECT_HANDLE sign_private() const { return sign_private_.rbegin()->second; }
  CK_OBJECT_HANDLE sign_public() const { return sign_public_.rbegin()->second; }
  CK_OBJECT_HANDLE transfer_private() const { return transfer_private_.rbegin()->second; }
  CK_OBJECT_HANDLE transfer_public() const { return transfer_public_.rbegin()->second; }
  const TokenKeyGenerations& generations() const { return generations_; }
  bool signs_with_ec() const { return signs_with_ec_; }

 private:
  TokenKeys() = default;
  Status Find(SessionLease& lease);
  Status Add(SessionLease& lease, CK_OBJECT_HANDLE handle);
  Status CheckComplete();
  Status CheckProtected(SessionLease& lease) const;
  Status ProvePairs(SessionLease& lease, const Capabilities& capabilities) const;

  Handles keks_;
  Handles macs_;
  Handles sign_private_;
  Handles sign_public_;
  Handles transfer_private_;
  Handles transfer_public_;
  TokenKeyGenerations generations_;
  bool signs_with_ec_ = true;
};

}  // namespace skms::hsm
