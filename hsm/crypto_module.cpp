#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "hsm/capability_probe.h"
#include "hsm/crypto_module_state.h"
#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/probe_trusted.h"
#include "hsm/signing.h"

namespace skms::hsm {

Result<std::unique_ptr<CryptoModule>> CryptoModule::OpenAll(std::vector<TokenMember> members,
                                                            MissingKeys missing) {
  SKMS_TRY(auto tokens, TokenSet::Open(std::move(members), missing));
  return std::unique_ptr<CryptoModule>(new CryptoModule(std::make_unique<State>(std::move(tokens))));
}

Result<std::unique_ptr<CryptoModule>> CryptoModule::Open(const TokenOptions& options, PinSource pin) {
  return OpenAll({{options, std::move(pin)}}, MissingKeys::kRefuse);
}

Result<std::unique_ptr<CryptoModule>> CryptoModule::Open(std::vector<TokenMember> members) {
  return OpenAll(std::move(members), MissingKeys::kRefuse);
}

Result<std::unique_ptr<CryptoModule>> CryptoModule::Provision(const TokenOptions& options, PinSource pin) {
  return OpenAll({{options, std::move(pin)}}, MissingKeys::kMake);
}

Result<Capabilities> CryptoModule::ProbeToken(const TokenOptions& options, const SecretBytes& pin,
                                              TokenInfo* info) {
  SKMS_TRY(const std::unique_ptr<Token> token, Token::Open(options, pin));
  if (info != nullptr) *info = token->info();
  return ProbeCapabilities(*token);
}

Status CryptoModule::OpenNow(const std::string& label) {
  for (const auto& keeper : state_->tokens().keepers()) {
    if (keeper->label() != label) continue;
    if (keeper->health().available) return Conflict("the token '" + label + "' is open");
    return keeper->OpenNow();
  }
  return NotFound("there is no token '" + label + "' in the configuration");
}

CryptoModule::CryptoModule(std::unique_ptr<State> state) : state_(std::move(state)) {}
CryptoModule::~CryptoModule() = default;

TokenInfo CryptoModule::info() const { return state_->tokens().known().info; }

Capabilities CryptoModule::capabilities() const {
  Capabilities all = state_->tokens().known().capabilities;
  for (const auto& keeper : state_->tokens().keepers()) {
    const std::optional<KnownToken> known = keeper->known();
    if (!known) continue;
    const Capabilities& can = known->capabilities;
    if (!can.oaep_hash || (all.oaep_hash && *can.oaep_hash < *all.oaep_hash)) all.oaep_hash = can.oaep_hash;
    if (!can.kwp_mechanism) all.kwp_mechanism = std::nullopt;
    for (bool Capabilities::*flag :
         {&Capabilities::aes_gcm, &Capabilities::aes_key_wrap, &Capabilities::wraps_ec,
          &Capabilities::ec_p256, &Capabilities::ecdh_kdf_p256, &Capabilities::ecdh_kdf_p384})
      all.*flag = all.*flag && can.*flag;
  }
  return all;
}

Result<OaepHash> CryptoModule::State::CommonOaep() const {
  std::optional<OaepHash> common = OaepHash::kSha256;
  for (const auto& keeper : tokens_->keepers()) {
    const std::optional<KnownToken> known = keeper->known();
    if (!known || !common) continue;
    common = known->capabilities.oaep_hash ? std::min(common, known->capabilities.oaep_hash) : std::nullopt;
  }
  if (!common) return Error{ErrorCode::kUnsupported, "this token has no RSA-OAEP"};
  return *common;
}

TokenKeyGenerations CryptoModule::generations() const { return state_->use(); }

Status CryptoModule::UseGenerations(const TokenKeyGenerations& use) {
  for (const auto& keeper : state_->tokens().keepers()) {
    const std::optional<KnownToken> known = keeper->known();
    if (!known || !known->held.Hold(use)) continue;
    state_->Use(use);
    return Ok();
  }
  return NotFound("no token that was opened holds the keys that the database was made with (skms-kek-" +
                  std::to_string(use.kek) + ", skms-mac-" + std::to_string(use.mac) + ", skms-sign-" +
                  std::to_string(use.sign) + ", skms-transfer-" + std::to_string(use.transfer) +
                  "); put the token that does back into the configuration");
}

TokenHealth CryptoModule::health() const { return state_->tokens().health(); }

std::vector<TokenStatus> CryptoModule::tokens() const {
  const TokenKeyGenerations use = state_->use();
  std::vector<TokenStatus> all;
  for (const auto& keeper : state_->tokens().keepers()) {
    all.push_back(keeper->status());
    all.back().holds_all = all.back().held.Hold(use);
  }
  return all;
}

CryptoModule::SessionUse CryptoModule::session_use() const {
  SessionUse sum;
  for (const auto& keeper : state_->tokens().keepers()) {
    const SessionUse one = keeper->session_use();
    sum.leased += one.leased;
    sum.limit += one.limit;
    sum.leases += one.leases;
    sum.calls += one.calls;
    sum.waited += one.waited;
    sum.held += one.held;
    sum.inside += one.inside;
  }
  return sum;
}

Result<Mac> CryptoModule::ComputeMac(std::uint32_t generation, ByteView message) {
  return state_->Run(HoldingMac(generation), [&](const OpenToken& open) -> Result<Mac> {
    SKMS_TRY(const CK_OBJECT_HANDLE key, open.keys.mac(generation));
    SKMS_TRY(SessionLease lease, open.token->Lease());
    return HmacInToken(lease, key, message);
  });
}

Status CryptoModule::VerifyMac(std::uint32_t generation, ByteView message, ByteView mac) {
  SKMS_TRY(const Mac expected, ComputeMac(generation, message));
  if (ConstantTimeEqual(expected, mac)) return Ok();
  return IntegrityError("the MAC does not fit");
}

Result<Bytes> CryptoModule::Sign(std::uint32_t generation, ByteView message) {
  const auto holds = [&](const KnownToken& known) { return known.held.sign.count(generation) > 0; };
  return state_->Run(holds, [&](const OpenToken& open) -> Result<Bytes> {
    SKMS_TRY(const CK_OBJECT_HANDLE key, open.keys.sign_private(generation));
    SKMS_TRY(SessionLease lease, open.token->Lease());
    return SignDigest(lease, key, open.keys.ec_signs().count(generation) > 0, Sha256(message));
  });
}

Result<CryptoModule::StrictView> CryptoModule::ViewStrict() {
  StrictView view;
  for (const auto& keeper : state_->tokens().keepers()) {
    const std::optional<KnownToken> known = keeper->known();
    if (!known) continue;
    view.kek = std::max(view.kek, known->strict->newest_generation());
    view.recipients = std::max(view.recipients, known->strict->recipients());
  }
  return view;
}

Result<std::string> CryptoModule::DescribeStrictToCome() {
  std::string text;
  for (const auto& keeper : state_->tokens().keepers()) {
    SKMS_TRY(const auto seen, keeper->LookAtStrict());
    if (!seen) continue;
    text += (text.empty() ? "" : "; ") + keeper->label() + ": strict KEK " +
            std::to_string(seen->newest_generation()) + ", TRUSTED keys " +
            std::to_string(seen->recipients()) + ", all of them " + seen->fingerprint();
  }
  return text;
}

void CryptoModule::FindKeysAnew() {
  for (const auto& keeper : state_->tokens().keepers()) {
    // One that is not open finds them when it is opened.
    const Status found = keeper->Refresh();
    if (found.has_error() && found.error().code != ErrorCode::kTokenUnavailable)
      LogWarning("token '" + keeper->label() + "': " + found.error().Describe());
  }
}

Result<CryptoModule::StrictView> CryptoModule::RefreshStrict() {
  for (const auto& keeper : state_->tokens().keepers()) SKMS_TRYV(keeper->RefreshStrict());
  return ViewStrict();
}

Status CryptoModule::CheckStrict() {
  std::optional<Error> first;
  for (const auto& keeper : state_->tokens().keepers()) {
    const std::optional<KnownToken> known = keeper->known();
    if (!known) continue;
    const Capabilities& can = known->capabilities;
    auto kek = known->strict->NewestKek();
    if (can.enforces_trusted && kek.has_value()) return Ok();
    if (first) continue;
    first = can.enforces_trusted
                ? kek.error()
                : Error{ErrorCode::kUnsupported,
                        "this token does not enforce strict recipients: " + TrustedShortfall(can)};
  }
  return first ? *first : Error{ErrorCode::kTokenUnavailable, "no token was open yet"};
}

std::string CryptoModule::signature_algorithm(std::uint32_t generation) const {
  for (const auto& keeper : state_->tokens().keepers()) {
    const std::optional<KnownToken> known = keeper->known();
    if (known && known->held.sign.count(generation) > 0)
      return known->ec_signs.count(generation) > 0 ? "ES256" : "PS256";
  }
  return "ES256";
}

Result<Bytes> CryptoModule::SigningPublicKey(std::uint32_t generation) {
  const auto holds = [&](const KnownToken& known) { return known.held.sign.count(generation) > 0; };
  return state_->Run(holds, [&](const OpenToken& open) -> Result<Bytes> {
    SKMS_TRY(const CK_OBJECT_HANDLE key, open.keys.sign_public(generation));
    SKMS_TRY(SessionLease lease, open.token->Lease());
    return ReadSpki(lease, key, open.keys.ec_signs().count(generation) > 0);
  });
}

Result<Bytes> CryptoModule::TransferPublicKey() {
  const std::uint32_t generation = state_->use().transfer;
  return state_->Run(HoldingTransfer(generation), [&](const OpenToken& open) -> Result<Bytes> {
    SKMS_TRY(const CK_OBJECT_HANDLE key, open.keys.transfer_public(generation));
    SKMS_TRY(SessionLease lease, open.token->Lease());
    return ReadSpki(lease, key, false);
  });
}

Result<Bytes> CryptoModule::Random(std::size_t count) {
  constexpr std::size_t kMostBytes = 4096;
  if (count == 0 || count > kMostBytes) return InvalidArgument("1 to 4096 random octets at a time");
  const auto any = [](const KnownToken&) { return true; };
  return state_->Run(any, [count](const OpenToken& open) -> Result<Bytes> {
    SKMS_TRY(SessionLease lease, open.token->Lease());
    return RandomOctets(lease, count);
  });
}

}  // namespace skms::hsm
