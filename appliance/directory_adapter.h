// DirectoryAdapter: the key store's directory as auth::Directory, so that api/auth need not know the key
// store.
//
// Thread-safe; borrows the KeyStore and the IssuerKeys.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "api/auth/authenticator.h"
#include "appliance/issuer_keys.h"
#include "keystore/key_store.h"

namespace skms::appliance {

class DirectoryAdapter final : public auth::Directory {
 public:
  DirectoryAdapter(const keystore::KeyStore& store, IssuerKeys& keys) : store_(store), keys_(keys) {}

  std::optional<auth::DirectoryPrincipal> FindPrincipal(ByteView spki_sha256) const override;
  std::vector<auth::DirectoryIssuer> Issuers() const override;
  std::uint64_t IssuersVersion() const override;
  bool RefreshKeys(const std::string& issuer_id) override;

 private:
  const keystore::KeyStore& store_;
  IssuerKeys& keys_;
};

}  // namespace skms::appliance
