#include "client/conform/cases.h"

namespace skms::client::conform {

std::vector<Case> AllCases() {
  std::vector<Case> all;
  for (const auto& group : {&KmSCases, &HttpCases, &SecurityCases, &ProvisioningCases, &KmUuCases}) {
    const std::span<const Case> cases = group();
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

std::string MissingFor(unsigned needs, const Setup& setup) {
  if ((needs & kUser) != 0 && setup.user.empty()) return "--user";
  if ((needs & kUnscoped) != 0 && setup.unscoped.empty()) return "--unscoped-token-file";
  if ((needs & kExpired) != 0 && setup.expired.empty()) return "--expired-token-file";
  if ((needs & kForeign) != 0 &&
      (setup.foreign.certificate_path.empty() || setup.foreign.private_key_path.empty()))
    return "--foreign-cert and --foreign-key";
  if ((needs & kProvisioning) != 0 && setup.provisioning.empty()) return "--provisioning-token-file";
  if ((needs & kKmUu) != 0 && (setup.km_uu.url.empty() || setup.ue_token.empty() || setup.ue_user.empty()))
    return "--ue-url, --ue-token-file and --ue-user";
  return {};
}

}  // namespace skms::client::conform
