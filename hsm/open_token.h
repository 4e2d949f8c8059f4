// OpenToken: one initialisation of the module: logged in, probed, our keys resolved and proven. When the
// token goes away it is given up as a whole and another takes its place (token_keeper.h).
//
// Immutable once made; thread-safe. Shared by the calls that use it, and closed when none is left, so that
// C_Finalize never comes while a call is inside the module.
#pragma once

#include <memory>
#include <utility>

#include "hsm/capabilities.h"
#include "hsm/crypto_module.h"
#include "hsm/token.h"
#include "hsm/token_keys.h"

namespace skms::hsm {

/// What outlives a loss: by it the token is known again.
struct KnownToken {
  TokenInfo info;
  Capabilities capabilities;
  TokenKeyGenerations generations;
  bool signs_with_ec = true;
  Mac fingerprint{};  ///< made with our oldest MAC key; a token with other keys gives another
};

enum class MissingKeys { kRefuse, kMake };

class OpenToken {
 public:
  /// Errors: those of CryptoModule::Open; with kMake those of CryptoModule::Provision.
  static Result<std::shared_ptr<const OpenToken>> Open(const TokenOptions& options, const SecretBytes& pin,
                                                       MissingKeys missing, TroubleReport report);
  /// The same token after a loss. What it can do is tried anew only where serial or firmware differ. Errors:
  /// also kIntegrity, when a token of this name holds other keys than `former`.
  static Result<std::shared_ptr<const OpenToken>> Reopen(const TokenOptions& options, const SecretBytes& pin,
                                                         const KnownToken& former, TroubleReport report);

  OpenToken(std::unique_ptr<Token> opened, TokenKeys resolved, KnownToken about)
      : token(std::move(opened)),
        keys(std::move(resolved)),
        known(std::move(about)),
        capabilities(known.capabilities) {}
  OpenToken(const OpenToken&) = delete;
  OpenToken& operator=(const OpenToken&) = delete;

  /// Whether our keys still work, on a session of its own. The error is the token's.
  Status Prove() const;

  const std::unique_ptr<Token> token;
  const TokenKeys keys;
  const KnownToken known;
  const Capabilities& capabilities;
};

}  // namespace skms::hsm
