// The identifiers of TS 23.434 clause 7 and our own, each a type of its own.
//
// Immutable values; safe to share between threads.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/strong_id.h"

namespace skms::keystore {

using ValServiceId = StrongId<struct ValServiceIdTag>;  ///< TS 23.434 7.4
using PrincipalId = StrongId<struct PrincipalIdTag>;    ///< a VAL server, group management server, …
using RecipientId = StrongId<struct RecipientIdTag>;
using IssuerId = StrongId<struct IssuerIdTag>;
using SubscriptionId = StrongId<struct SubscriptionIdTag>;
using GroupId = StrongId<struct GroupIdTag>;  ///< VAL group ID, TS 23.434 7.5
using Kid = StrongId<struct KidTag>;          ///< 128 random bits from the token, base64url; never reused

inline constexpr std::size_t kMaxIdentifierBytes = 255;

/// What a key is for, besides its service (TS 33.434 5.3.2: at most one of user, UE, client).
/// Groups are SEAL-X1's (TS 23.434 13.3): their key is their members'.
enum class TargetKind { kService, kUser, kUe, kClient, kGroup };
std::string_view Name(TargetKind kind);  ///< "service", "user", "ue", "client", "group"
Result<TargetKind> ParseTargetKind(std::string_view name);
std::string TargetKindNames();  ///< "service, user, …"

/// A service, or one user, UE, client or group within it. `target` is empty exactly for kService.
struct Selector {
  ValServiceId service;
  TargetKind kind = TargetKind::kService;
  std::string target;
  bool operator==(const Selector&) const = default;
};

/// 1 to 255 bytes of UTF-8 without control characters. Errors: kInvalidArgument naming `what`.
Status CheckIdentifier(std::string_view what, std::string_view value);
/// As CheckIdentifier, and only letters, digits, and - . _ : @ (safe in paths, logs and shells).
Status CheckName(std::string_view what, std::string_view value);

}  // namespace skms::keystore
