#include "hsm/open_token.h"

#include "hsm/capability_probe.h"
#include "hsm/signing.h"

namespace skms::hsm {
namespace {

/// The probe's failing rows as one sentence.
Status CheckUsable(const Capabilities& capabilities) {
  std::string failing;
  for (const CapabilityRow& row : capabilities.rows) {
    if (row.finding == Finding::kFail)
      failing += (failing.empty() ? "" : "; ") + row.name + ": " + row.detail;
  }
  if (failing.empty()) return Ok();
  return Error{ErrorCode::kUnsupported,
               "this token cannot be used (" + failing + "); see: skmsctl token probe"};
}

Result<Mac> Fingerprint(Token& token, const TokenKeys& keys) {
  SKMS_TRY(SessionLease lease, token.Lease());
  return HmacInToken(lease, keys.oldest_mac(), AsBytes("skms token fingerprint v1"));
}

Result<std::shared_ptr<const OpenToken>> Complete(std::unique_ptr<Token> token, Capabilities capabilities) {
  SKMS_TRY(TokenKeys keys, TokenKeys::Resolve(*token, capabilities));
  KnownToken known{token->info(), std::move(capabilities), keys.generations(), keys.signs_with_ec(), {}};
  SKMS_TRY(known.fingerprint, Fingerprint(*token, keys));
  return std::shared_ptr<const OpenToken>(
      std::make_shared<OpenToken>(std::move(token), std::move(keys), std::move(known)));
}

}  // namespace

Result<std::shared_ptr<const OpenToken>> OpenToken::Open(const TokenOptions& options, const SecretBytes& pin,
                                                         MissingKeys missing, TroubleReport report) {
  SKMS_TRY(std::unique_ptr<Token> token, Token::Open(options, pin, std::move(report)));
  SKMS_TRY(Capabilities capabilities, ProbeCapabilities(*token));
  SKMS_TRYV(CheckUsable(capabilities));
  if (missing == MissingKeys::kMake) SKMS_TRYV(TokenKeys::CreateMissing(*token, capabilities));
  return Complete(std::move(token), std::move(capabilities));
}

Result<std::shared_ptr<const OpenToken>> OpenToken::Reopen(const TokenOptions& options,
                                                           const SecretBytes& pin, const KnownToken& former,
                                                           TroubleReport report) {
  SKMS_TRY(std::unique_ptr<Token> token, Token::Open(options, pin, std::move(report)));
  Capabilities capabilities = former.capabilities;
  if (token->info().serial != former.info.serial || token->info().firmware != former.info.firmware) {
    SKMS_TRY(capabilities, ProbeCapabilities(*token));
    SKMS_TRYV(CheckUsable(capabilities));
  }
  SKMS_TRY(std::shared_ptr<const OpenToken> open, Complete(std::move(token), std::move(capabilities)));
  if (!ConstantTimeEqual(open->known.fingerprint, former.fingerprint)) {
    return IntegrityError("the token '" + options.label +
                          "' that is there now holds other keys than the one before; put the right one back");
  }
  return open;
}

Status OpenToken::Prove() const {
  SKMS_TRY(SessionLease lease, token->Lease());
  return keys.ProveSecrets(lease, capabilities);
}

}  // namespace skms::hsm
