#include <utility>

#include "hsm/capability_probe.h"
#include "hsm/crypto_module_state.h"
#include "hsm/key_operations.h"
#include "hsm/openssl_agreement.h"
#include "hsm/signing.h"

namespace skms::hsm {

Result<std::unique_ptr<CryptoModule>> CryptoModule::Open(const TokenOptions& options, PinSource pin) {
  SKMS_TRY(auto keeper, TokenKeeper::Open(options, std::move(pin), MissingKeys::kRefuse));
  return std::unique_ptr<CryptoModule>(new CryptoModule(std::make_unique<State>(std::move(keeper))));
}

Result<std::unique_ptr<CryptoModule>> CryptoModule::Provision(const TokenOptions& options, PinSource pin) {
  SKMS_TRY(auto keeper, TokenKeeper::Open(options, std::move(pin), MissingKeys::kMake));
  return std::unique_ptr<CryptoModule>(new CryptoModule(std::make_unique<State>(std::move(keeper))));
}

Result<Capabilities> CryptoModule::ProbeToken(const TokenOptions& options, const SecretBytes& pin,
                                              TokenInfo* info) {
  SKMS_TRY(const std::unique_ptr<Token> token, Token::Open(options, pin));
  if (info != nullptr) *info = token->info();
  return ProbeCapabilities(*token);
}

CryptoModule::CryptoModule(std::unique_ptr<State> state) : state_(std::move(state)) {}
CryptoModule::~CryptoModule() = default;

TokenInfo CryptoModule::info() const { return state_->keeper().known().info; }
Capabilities CryptoModule::capabilities() const { return state_->keeper().known().capabilities; }
TokenKeyGenerations CryptoModule::generations() const { return state_->keeper().generations(); }
TokenHealth CryptoModule::health() const { return state_->keeper().health(); }
CryptoModule::SessionUse CryptoModule::session_use() const { return state_->keeper().session_use(); }

Result<Mac> CryptoModule::ComputeMac(std::uint32_t generation, ByteView message) {
  return state_->Run([&](const OpenToken& open) -> Result<Mac> {
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

Result<Bytes> CryptoModule::Sign(ByteView message) {
  return state_->Run([&](const OpenToken& open) -> Result<Bytes> {
    SKMS_TRY(SessionLease lease, open.token->Lease());
    return SignDigest(lease, open.keys.sign_private(), open.keys.signs_with_ec(), Sha256(message));
  });
}

std::string CryptoModule::signature_algorithm() const {
  return state_->keeper().known().signs_with_ec ? "ES256" : "PS256";
}

namespace {

Result<Bytes> RsaSpki(SessionLease& lease, CK_OBJECT_HANDLE key) {
  SKMS_TRY(const Bytes modulus, ReadOctets(lease, key, CKA_MODULUS));
  SKMS_TRY(const Bytes exponent, ReadOctets(lease, key, CKA_PUBLIC_EXPONENT));
  return RsaSpkiFromNumbers(modulus, exponent);
}

}  // namespace

Result<Bytes> CryptoModule::SigningPublicKey() {
  return state_->Run([](const OpenToken& open) -> Result<Bytes> {
    SKMS_TRY(SessionLease lease, open.token->Lease());
    if (!open.keys.signs_with_ec()) return RsaSpki(lease, open.keys.sign_public());
    SKMS_TRY(const Bytes point, ReadOctets(lease, open.keys.sign_public(), CKA_EC_POINT));
    return SpkiFromPoint(Curve::kP256, point);
  });
}

Result<Bytes> CryptoModule::TransferPublicKey() {
  return state_->Run([](const OpenToken& open) -> Result<Bytes> {
    SKMS_TRY(SessionLease lease, open.token->Lease());
    return RsaSpki(lease, open.keys.transfer_public());
  });
}

Result<Bytes> CryptoModule::Random(std::size_t count) {
  constexpr std::size_t kMostBytes = 4096;
  if (count == 0 || count > kMostBytes) return InvalidArgument("1 to 4096 random octets at a time");
  return state_->Run([count](const OpenToken& open) -> Result<Bytes> {
    SKMS_TRY(SessionLease lease, open.token->Lease());
    return RandomOctets(lease, count);
  });
}

}  // namespace skms::hsm
