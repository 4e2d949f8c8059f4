// What the appliance tells of itself at /.well-known/skms.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/seal/discovery.h"
#include "api/seal/jwe.h"
#include "appliance/config/configuration.h"
#include "hsm/crypto_module.h"

namespace skms::appliance {

/// The document, made anew when token keys, or what the tokens can, have changed. Thread-safe; borrows the
/// module.
class PublishedDocument {
 public:
  PublishedDocument(const Configuration& configuration, hsm::CryptoModule& module);
  /// While the tokens are away, the one before. Errors: the token's, before it was made once.
  Result<seal::DiscoveryDocument> Current();

 private:
  /// What it depends on: tokens that were away may do less, or more, than those that were there.
  struct Basis {
    hsm::TokenKeyGenerations use;
    std::string transfer_algorithm;
    bool payloads = false;
    std::vector<std::string> wrapping;
    bool operator==(const Basis&) const = default;
  };
  Basis Now() const;
  Result<seal::DiscoveryDocument> Make(const Basis& basis);

  hsm::CryptoModule& module_;
  seal::DiscoveryDocument frame_;  ///< what the configuration says
  std::mutex mutex_;
  std::optional<seal::DiscoveryDocument> made_;
  Basis made_of_;
};

/// The transfer keys that any of the tokens holds.
seal::TransferKeys TransferKeysOf(hsm::CryptoModule& module);

}  // namespace skms::appliance
