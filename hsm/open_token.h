// OpenToken: one initialisation of the module: logged in, probed, our keys resolved and proven. When the
// token goes away it is given up as a whole and another takes its place (token_keeper.h).
//
// Immutable once made, but for the recipients' keys that it keeps; thread-safe. Shared by the calls that use
// it, and closed when none is left, so that C_Finalize never comes while a call is inside the module.
#pragma once

#include <memory>
#include <set>
#include <utility>

#include "hsm/capabilities.h"
#include "hsm/recipient_keys.h"
#include "hsm/strict_objects.h"
#include "hsm/token.h"
#include "hsm/token_keys.h"
#include "hsm/token_values.h"

namespace skms::hsm {

/// What outlives a loss: what the token is, can and holds.
struct KnownToken {
  TokenInfo info;
  Capabilities capabilities;
  HeldGenerations held;
  std::set<std::uint32_t> ec_signs;  ///< generations of the signing key that are EC
  std::shared_ptr<StrictObjects> strict;
};

/// kRefuseUntried: before what the token can do is tried, which takes long.
enum class MissingKeys { kRefuse, kRefuseUntried, kMake };

/// What the token can do. Errors: kUnsupported (a row fails: the detail names it), the token's.
Result<Capabilities> ProbeUsable(Token& token);

class OpenToken {
 public:
  /// Errors: those of CryptoModule::Open; with kMake those of CryptoModule::Provision.
  static Result<std::shared_ptr<const OpenToken>> Open(const TokenOptions& options, const SecretBytes& pin,
                                                       MissingKeys missing, TroubleReport report);
  /// The same token after a loss. What it can do is tried anew only where serial or firmware differ.
  static Result<std::shared_ptr<const OpenToken>> Reopen(const TokenOptions& options, const SecretBytes& pin,
                                                         const KnownToken& former, TroubleReport report);

  /// The same initialisation with its keys found anew, after some were made or destroyed. Calls that use
  /// `former` go on.
  static Result<std::shared_ptr<const OpenToken>> Refresh(const OpenToken& former);

  /// `kept` lie on the token's anchor session.
  OpenToken(std::shared_ptr<Token> opened, TokenKeys resolved, KnownToken about,
            std::shared_ptr<RecipientKeys> kept)
      : token(std::move(opened)),
        keys(std::move(resolved)),
        known(std::move(about)),
        strict(known.strict),
        capabilities(known.capabilities),
        recipients(std::move(kept)) {}
  OpenToken(const OpenToken&) = delete;
  OpenToken& operator=(const OpenToken&) = delete;

  /// Whether our keys still work, on a session of its own. The error is the token's.
  Status Prove() const;

  const std::shared_ptr<Token> token;
  const TokenKeys keys;
  const KnownToken known;
  const std::shared_ptr<StrictObjects> strict;  ///< may be looked for anew while all else stays
  const Capabilities& capabilities;
  const std::shared_ptr<RecipientKeys> recipients;
};

}  // namespace skms::hsm
