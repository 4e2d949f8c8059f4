#include "appliance/directory_adapter.h"

namespace skms::appliance {

std::optional<auth::DirectoryPrincipal> DirectoryAdapter::FindPrincipal(ByteView spki_sha256) const {
  const auto principal = store_.FindPrincipalBySpkiHash(spki_sha256);
  if (!principal) return std::nullopt;
  return auth::DirectoryPrincipal{principal->id.value(), principal->role, principal->client_id};
}

std::vector<auth::DirectoryIssuer> DirectoryAdapter::Issuers() const {
  std::vector<auth::DirectoryIssuer> issuers;
  for (const keystore::Issuer& issuer : store_.Issuers()) {
    issuers.push_back({issuer.id.value(), issuer.issuer, issuer.audience, issuer.jwks});
  }
  return issuers;
}

std::uint64_t DirectoryAdapter::IssuersVersion() const { return store_.directory_version(); }

}  // namespace skms::appliance
