// DirectoryAdapter: the key store's directory as auth::Directory, so that api/auth need not know the key
// store.
//
// Thread-safe; borrows the KeyStore.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "api/auth/authenticator.h"
#include "keystore/key_store.h"

namespace skms::appliance {

class DirectoryAdapter final : public auth::Directory {
 public:
  explicit DirectoryAdapter(const keystore::KeyStore& store) : store_(store) {}

  std::optional<auth::DirectoryPrincipal> FindPrincipal(ByteView spki_sha256) const override;
  std::vector<auth::DirectoryIssuer> Issuers() const override;
  std::uint64_t IssuersVersion() const override;

 private:
  const keystore::KeyStore& store_;
};

}  // namespace skms::appliance
