// TokenKeys: our few long-lived objects in the token, resolved once, each proven by use.
//
// Handles stay true for the life of the module's initialisation; immutable after Resolve, thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "hsm/capabilities.h"
#include "hsm/token.h"
#include "hsm/token_values.h"

namespace skms::hsm {

inline constexpr std::string_view kKekRole = "kek";
inline constexpr std::string_view kMacRole = "mac";
inline constexpr std::string_view kSignRole = "sign";
inline constexpr std::string_view kTransferRole = "transfer";
inline constexpr CK_ULONG kTransferBits = 3072;

/// "skms-kek-1" and so on.
std::string TokenKeyLabel(std::string_view role, std::uint32_t generation);

/// The generation in a label "skms-<role>-<n>"; 0 when it is none. Leading zeros are not ours.
std::uint32_t GenerationIn(std::string_view label, std::string_view role);

/// Every token object that we may see, in one search.
Result<std::vector<CK_OBJECT_HANDLE>> AllTokenObjects(SessionLease& lease);

class TokenKeys {
 public:
  using Handles = std::map<std::uint32_t, CK_OBJECT_HANDLE>;

  /// One pass over the token's objects. Errors: kTokenAmbiguous (two objects of one class and label),
  /// kTokenBlank (a role without any key), kIntegrity (a key that does not work, or a KEK that may leave the
  /// token).
  static Result<TokenKeys> Resolve(Token& token, const Capabilities& capabilities);
  /// Errors: kTokenBlank, kTokenAmbiguous. Cheap: nothing is tried.
  static Status CheckPresent(Token& token);
  /// Makes generation 1 of every role that has none.
  static Status CreateMissing(Token& token, const Capabilities& capabilities);
  /// Uses every KEK and MAC key once. Errors: kIntegrity, and those of the token itself.
  Status ProveSecrets(SessionLease& lease, const Capabilities& capabilities) const;

  // Errors: kNotFound: no such generation.
  Result<CK_OBJECT_HANDLE> kek(std::uint32_t generation) const { return At(keks_, kKekRole, generation); }
  Result<CK_OBJECT_HANDLE> mac(std::uint32_t generation) const { return At(macs_, kMacRole, generation); }
  Result<CK_OBJECT_HANDLE> sign_private(std::uint32_t generation) const {
    return At(sign_private_, kSignRole, generation);
  }
  Result<CK_OBJECT_HANDLE> sign_public(std::uint32_t generation) const {
    return At(sign_public_, kSignRole, generation);
  }
  Result<CK_OBJECT_HANDLE> transfer_private(std::uint32_t generation) const {
    return At(transfer_private_, kTransferRole, generation);
  }
  Result<CK_OBJECT_HANDLE> transfer_public(std::uint32_t generation) const {
    return At(transfer_public_, kTransferRole, generation);
  }
  /// Which of our keys are there, complete or not. Cheap.
  static Result<HeldGenerations> HeldBy(SessionLease& lease);
  /// Destroys the generations before `keep`, but for public signing keys, and adds them to `destroyed`.
  Status DestroyBefore(Token& token, const TokenKeyGenerations& keep, HeldGenerations& destroyed) const;
  /// The newest of each.
  TokenKeyGenerations generations() const;
  HeldGenerations held() const;
  CK_OBJECT_HANDLE newest_transfer_public() const { return transfer_public_.rbegin()->second; }
  /// Generations of the signing key that are EC; the others are RSA.
  const std::set<std::uint32_t>& ec_signs() const { return ec_signs_; }

 private:
  TokenKeys() = default;
  Status Find(SessionLease& lease);
  Status Add(SessionLease& lease, CK_OBJECT_HANDLE handle);
  Status CheckComplete() const;
  static Result<CK_OBJECT_HANDLE> At(const Handles& handles, std::string_view role, std::uint32_t generation);
  Status CheckProtected(SessionLease& lease) const;
  Status ProvePairs(SessionLease& lease, const Capabilities& capabilities) const;

  Handles keks_;
  Handles macs_;
  Handles sign_private_;
  Handles sign_public_;
  Handles transfer_private_;
  Handles transfer_public_;
  std::set<std::uint32_t> ec_signs_;
};

}  // namespace skms::hsm
