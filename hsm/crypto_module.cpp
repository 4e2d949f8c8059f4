#include <utility>

#include "hsm/capability_probe.h"
#include "hsm/crypto_module_state.h"
#include "hsm/key_operations.h"
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

}  // namespace

Result<std::unique_ptr<CryptoModule>> CryptoModule::Open(const TokenOptions& options,
                                                         const SecretBytes& pin) {
  SKMS_TRY(std::unique_ptr<Token> token, Token::Open(options, pin));
  SKMS_TRY(Capabilities capabilities, ProbeCapabilities(*token));
  SKMS_TRYV(CheckUsable(capabilities));
  SKMS_TRY(TokenKeys keys, TokenKeys::Resolve(*token, capabilities));
  return std::unique_ptr<CryptoModule>(
      new CryptoModule(std::make_unique<State>(std::move(token), std::move(capabilities), std::move(keys))));
}

Result<std::unique_ptr<CryptoModule>> CryptoModule::Provision(const TokenOptions& options,
                                                              const SecretBytes& pin) {
  SKMS_TRY(std::unique_ptr<Token> token, Token::Open(options, pin));
  SKMS_TRY(Capabilities capabilities, ProbeCapabilities(*token));
  SKMS_TRYV(CheckUsable(capabilities));
  SKMS_TRYV(TokenKeys::CreateMissing(*token, capabilities));
  SKMS_TRY(TokenKeys keys, TokenKeys::Resolve(*token, capabilities));
  return std::unique_ptr<CryptoModule>(
      new CryptoModule(std::make_unique<State>(std::move(token), std::move(capabilities), std::move(keys))));
}

Result<Capabilities> CryptoModule::ProbeToken(const TokenOptions& options, const SecretBytes& pin,
                                              TokenInfo* info) {
  SKMS_TRY(const std::unique_ptr<Token> token, Token::Open(options, pin));
  if (info != nullptr) *info = token->info();
  return ProbeCapabilities(*token);
}

CryptoModule::CryptoModule(std::unique_ptr<State> state) : state_(std::move(state)) {}
CryptoModule::~CryptoModule() = default;

const TokenInfo& CryptoModule::info() const { return state_->token->info(); }
const Capabilities& CryptoModule::capabilities() const { return state_->capabilities; }
const TokenKeyGenerations& CryptoModule::generations() const { return state_->keys.generations(); }
CryptoModule::SessionUse CryptoModule::session_use() const { return state_->token->session_use(); }

Result<Mac> CryptoModule::ComputeMac(std::uint32_t generation, ByteView message) {
  SKMS_TRY(const CK_OBJECT_HANDLE key, state_->keys.mac(generation));
  SKMS_TRY(SessionLease lease, state_->token->Lease());
  return HmacInToken(lease, key, message);
}

Status CryptoModule::VerifyMac(std::uint32_t generation, ByteView message, ByteView mac) {
  SKMS_TRY(const Mac expected, ComputeMac(generation, message));
  if (ConstantTimeEqual(expected, mac)) return Ok();
  return IntegrityError("the MAC does not fit");
}

Result<Bytes> CryptoModule::Sign(ByteView message) {
  SKMS_TRY(SessionLease lease, state_->token->Lease());
  return SignDigest(lease, state_->keys.sign_private(), state_->keys.signs_with_ec(), Sha256(message));
}

std::string CryptoModule::signature_algorithm() const {
  return state_->keys.signs_with_ec() ? "ES256" : "PS256";
}

namespace {

Result<Bytes> RsaSpki(SessionLease& lease, CK_OBJECT_HANDLE key) {
  SKMS_TRY(const Bytes modulus, ReadOctets(lease, key, CKA_MODULUS));
  SKMS_TRY(const Bytes exponent, ReadOctets(lease, key, CKA_PUBLIC_EXPONENT));
  return RsaSpkiFromNumbers(modulus, exponent);
}

}  // namespace

Result<Bytes> CryptoModule::SigningPublicKey() {
  SKMS_TRY(SessionLease lease, state_->token->Lease());
  if (!state_->keys.signs_with_ec()) return RsaSpki(lease, state_->keys.sign_public());
  SKMS_TRY(const Bytes point, ReadOctets(lease, state_->keys.sign_public(), CKA_EC_POINT));
  return P256SpkiFromPoint(point);
}

Result<Bytes> CryptoModule::TransferPublicKey() {
  SKMS_TRY(SessionLease lease, state_->token->Lease());
  return RsaSpki(lease, state_->keys.transfer_public());
}

Result<Bytes> CryptoModule::Random(std::size_t count) {
  constexpr std::size_t kMostBytes = 4096;
  if (count == 0 || count > kMostBytes) return InvalidArgument("1 to 4096 random octets at a time");
  SKMS_TRY(SessionLease lease, state_->token->Lease());
  Bytes octets(count);
  SKMS_TRYV(lease.Check("C_GenerateRandom",
                        lease.p11()->C_GenerateRandom(lease.handle(), octets.data(), octets.size())));
  return octets;
}

}  // namespace skms::hsm
