#include "appliance/published.h"

#include <utility>

namespace skms::appliance {

Result<seal::DiscoveryDocument> Published(const Configuration& configuration, hsm::CryptoModule& module) {
  const AccessTokenSection& token = configuration.access_token;
  seal::DiscoveryDocument document;
  document.skms_id = configuration.skms.id;
  document.skms_uri = configuration.skms.uri;
  document.apis = {{"ss-kir", "v1", "KM-S", token.scope_ss_kir},
                   {"seal-x1", "v1", "SEAL-X1", token.scope_seal_x1},
                   {"ss-kpp", "v1", "KM-S", token.scope_ss_kpp},
                   {"skms-events", "v1", "KM-S", token.scope_skms_events}};
  if (configuration.listen_ue.present)
    document.apis.push_back({"skm", "v1", "KM-UU", token.scope_skm, configuration.listen_ue.uri});
  document.wrapping = module.wrapping_algorithms();
  document.payload_encryption = module.capabilities().aes_gcm ? "A256GCM" : "";
  SKMS_TRY(Bytes transfer, module.TransferPublicKey());
  SKMS_TRY(Bytes signing, module.SigningPublicKey());
  const hsm::TokenKeyGenerations& generations = module.generations();
  const bool sha256 = module.capabilities().oaep_hash == hsm::OaepHash::kSha256;
  document.keys = {{"skms-transfer-" + std::to_string(generations.transfer),
                    sha256 ? "RSA-OAEP-256" : "RSA-OAEP", "enc", std::move(transfer)},
                   {"skms-sign-" + std::to_string(generations.sign), module.signature_algorithm(), "sig",
                    std::move(signing)}};
  return document;
}

}  // namespace skms::appliance
