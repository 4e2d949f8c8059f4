#include "appliance/published.h"

#include <set>
#include <utility>

#include "keystore/token_signature.h"

namespace skms::appliance {
namespace {

std::string TransferAlgorithm(const hsm::CryptoModule& module) {
  return module.capabilities().oaep_hash == hsm::OaepHash::kSha256 ? "RSA-OAEP-256" : "RSA-OAEP";
}

}  // namespace

PublishedDocument::PublishedDocument(const Configuration& configuration, hsm::CryptoModule& module)
    : module_(module) {
  const AccessTokenSection& token = configuration.access_token;
  frame_.skms_id = configuration.skms.id;
  frame_.skms_uri = configuration.skms.uri;
  frame_.apis = {{"ss-kir", "v1", "KM-S", token.scope_ss_kir},
                 {"seal-x1", "v1", "SEAL-X1", token.scope_seal_x1},
                 {"ss-kpp", "v1", "KM-S", token.scope_ss_kpp},
                 {"skms-events", "v1", "KM-S", token.scope_skms_events}};
  if (configuration.listen_ue.present)
    frame_.apis.push_back({"skm", "v1", "KM-UU", token.scope_skm, configuration.listen_ue.uri});
}

PublishedDocument::Basis PublishedDocument::Now() const {
  return {module_.generations(), TransferAlgorithm(module_), module_.capabilities().aes_gcm,
          module_.wrapping_algorithms()};
}

Result<seal::DiscoveryDocument> PublishedDocument::Make(const Basis& basis) {
  seal::DiscoveryDocument document = frame_;
  document.wrapping = basis.wrapping;
  document.payload_encryption = basis.payloads ? "A256GCM" : "";
  SKMS_TRY(Bytes transfer, module_.TransferPublicKey());
  SKMS_TRY(Bytes signing, module_.SigningPublicKey());
  document.keys = {
      {seal::TransferKeyId(basis.use.transfer), basis.transfer_algorithm, "enc", std::move(transfer)},
      {keystore::SignKid(basis.use.sign), module_.signature_algorithm(), "sig", std::move(signing)}};
  return document;
}

Result<seal::DiscoveryDocument> PublishedDocument::Current() {
  const std::lock_guard lock(mutex_);
  for (;;) {
    const Basis basis = Now();
    if (made_ && basis == made_of_) return *made_;
    auto fresh = Make(basis);
    if (fresh.has_error()) return made_ ? Result<seal::DiscoveryDocument>(*made_) : std::move(fresh);
    if (!(Now() == basis)) continue;  // half of the one, half of the other
    made_ = std::move(fresh).value();
    made_of_ = basis;
  }
}

seal::TransferKeys TransferKeysOf(hsm::CryptoModule& module) {
  std::set<std::uint32_t> held;
  for (const hsm::TokenStatus& token : module.tokens())
    held.insert(token.held.transfer.begin(), token.held.transfer.end());
  return {{held.begin(), held.end()}, TransferAlgorithm(module)};
}

}  // namespace skms::appliance
