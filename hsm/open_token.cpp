#include "hsm/open_token.h"

#include "hsm/capability_probe.h"

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

Result<std::shared_ptr<const OpenToken>> Complete(std::shared_ptr<Token> token, Capabilities capabilities,
                                                  std::shared_ptr<RecipientKeys> recipients = nullptr,
                                                  std::shared_ptr<StrictObjects> strict = nullptr) {
  SKMS_TRY(TokenKeys keys, TokenKeys::Resolve(*token, capabilities));
  if (!strict) {
    SKMS_TRY(strict, StrictObjects::Resolve(*token, capabilities, keys.newest_transfer_public()));
  }
  KnownToken known{token->info(), std::move(capabilities), keys.held(), keys.ec_signs(), std::move(strict)};
  if (!recipients) recipients = std::make_shared<RecipientKeys>(*token);
  return std::shared_ptr<const OpenToken>(std::make_shared<OpenToken>(
      std::move(token), std::move(keys), std::move(known), std::move(recipients)));
}

}  // namespace

Result<Capabilities> ProbeUsable(Token& token) {
  SKMS_TRY(Capabilities capabilities, ProbeCapabilities(token));
  SKMS_TRYV(CheckUsable(capabilities));
  return capabilities;
}

Result<std::shared_ptr<const OpenToken>> OpenToken::Open(const TokenOptions& options, const SecretBytes& pin,
                                                         MissingKeys missing, TroubleReport report) {
  SKMS_TRY(std::unique_ptr<Token> token, Token::Open(options, pin, std::move(report)));
  if (missing == MissingKeys::kRefuseUntried) SKMS_TRYV(TokenKeys::CheckPresent(*token));
  SKMS_TRY(Capabilities capabilities, ProbeUsable(*token));
  if (missing == MissingKeys::kMake) SKMS_TRYV(TokenKeys::CreateMissing(*token, capabilities));
  return Complete(std::move(token), std::move(capabilities));
}

Result<std::shared_ptr<const OpenToken>> OpenToken::Reopen(const TokenOptions& options,
                                                           const SecretBytes& pin, const KnownToken& former,
                                                           TroubleReport report) {
  SKMS_TRY(std::unique_ptr<Token> token, Token::Open(options, pin, std::move(report)));
  Capabilities capabilities = former.capabilities;
  if (token->info().serial != former.info.serial || token->info().firmware != former.info.firmware) {
    SKMS_TRY(capabilities, ProbeUsable(*token));
  }
  return Complete(std::move(token), std::move(capabilities));
}

Result<std::shared_ptr<const OpenToken>> OpenToken::Refresh(const OpenToken& former) {
  return Complete(former.token, former.known.capabilities, former.recipients, former.strict);
}

Status OpenToken::Prove() const {
  SKMS_TRY(SessionLease lease, token->Lease());
  return keys.ProveSecrets(lease, capabilities);
}

}  // namespace skms::hsm
