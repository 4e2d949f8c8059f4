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
    const keystore::TokenProfile& profile = issuer.profile;
    issuers.push_back({issuer.id.value(),
                       issuer.issuer,
                       issuer.audience,
                       issuer.jwks,
                       {profile.services_claim, profile.user_claim, profile.ue_claim, profile.client_claim,
                        profile.provisioning_claim, profile.provisioning_values}});
  }
  return issuers;
}

std::uint64_t DirectoryAdapter::IssuersVersion() const { return store_.directory_version(); }

bool DirectoryAdapter::RefreshKeys(const std::string& issuer_id) {
  return keys_.Refresh(keystore::IssuerId(issuer_id));
}

}  // namespace skms::appliance
