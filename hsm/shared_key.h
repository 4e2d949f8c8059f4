// A token key that several tokens hold: born in one as a session object, wrapped for the others, kept in each
// as a token object. Functions over leased sessions; the parts of a ceremony (token_ceremony.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "hsm/open_token.h"
#include "hsm/wrapped_key.h"

namespace skms::hsm {

enum class SharedRole { kKek, kMac, kSign, kTransfer };

/// Wrapped, for as long as a ceremony takes; nothing of it is stored.
struct SharedKey {
  SharedRole role = SharedRole::kKek;
  std::uint32_t generation = 0;
  bool ec = false;           ///< the signing key alone
  Bytes public_spki;         ///< of pairs
  Bytes under_kek;           ///< RFC 5649
  DeliveredKey to_join_key;  ///< where a token joins
};

struct JoinRecipient {
  Bytes spki;
  OaepHash hash = OaepHash::kSha1;
};

/// Makes keys in `source` and wraps them under its KEK of generation `kek_in_use`, and to `joining`; none of
/// them is left in the token.
Result<std::vector<SharedKey>> MakeSharedKeys(const OpenToken& source, const std::vector<SharedRole>& roles,
                                              std::uint32_t generation, std::uint32_t kek_in_use,
                                              const std::optional<JoinRecipient>& joining);

/// Unwraps it as a token object that is sensitive and cannot leave, with its public half beside it. Errors:
/// kIntegrity, kUnsupported (the token did not keep it so; nothing stays), the token's.
Status KeepSharedKey(SessionLease& lease, const Capabilities& capabilities, CK_MECHANISM* kwp,
                     CK_OBJECT_HANDLE with, ByteView blob, const SharedKey& key);

/// A KEK or MAC key that is born as a token object and never extractable.
Status MakeTokenSecret(SessionLease& lease, SharedRole role, std::uint32_t generation);

}  // namespace skms::hsm
