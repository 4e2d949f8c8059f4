// Key provisioning on KM-S (TS 33.434 5.8):
//
//   POST {apiRoot}/ss-kpp/v1/request         SS_KMParametersProvisioning, VALKeyPpReq → VALKeyPpResp
//   (TS 29.549 7.6.2) POST {apiRoot}/skm/v1/key-provisioning   KP Request → KP Response
//   (tables 5.8.2-1, 5.8.3-1) as JSON; ours
//
// Mutual TLS, an access token with SKeyProv for the service, and a principal that the service's policy names
// as a provisioner. The payload comes as base64, in the clear or as a JWE to our published transfer key.
// Answers: 200; 307, 308 to the service's home; 400, 401, 403, 404, 406, 411, 413, 415, 429, 500, 503 as
// problem+json. Audited like deliveries. Thread-safe; the dependencies must outlive the Api.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "api/http/router.h"
#include "api/seal/jwe.h"
#include "api/seal/reception.h"

namespace skms::seal {

struct KeyProvisioningOptions {
  std::string skms_id;
  std::function<TransferKeys()> transfer_keys;  ///< those that the tokens hold now
  std::size_t max_payload_bytes = 65536;        ///< of the payload as sent, decoded
  std::vector<std::string>
      other_roots{};  ///< apiRoots beside `ReceptionOptions::api_root` that name this server
};

/// `reception.scope` is "ss-kpp" unless configured otherwise.
void RegisterKeyProvisioning(http::Api& api, KeyProvisioningOptions options, ReceptionOptions reception,
                             SealDependencies dependencies);

}  // namespace skms::seal
