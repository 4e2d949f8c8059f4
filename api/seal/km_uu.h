// KM-UU: POST {apiRoot}/skm/v1/key-request, the SEAL KM Request of a UE's key management client and its
// answer (TS 33.434 5.3.2, 5.3.3). Server TLS and an access token (5.1.1.5), sender-constrained where the
// token says so (RFC 8705; RFC 7638 thumbprint of the key to deliver to).
//
// The resource is ours (no stage 3 exists): api/openapi/skms_km_uu.yaml. Answers: 200; 307, 308 to the
// service's home; 400, 401, 403, 404, 406, 413, 415, 429, 500, 503 as problem+json with errorCode and the
// echoed fields. Every grant and refusal is in the audit chain, the UE as a pseudonym once its request could
// be read. Thread-safe; the dependencies must outlive the Api.
#pragma once

#include <string>
#include <vector>

#include "api/http/router.h"
#include "api/seal/reception.h"

namespace skms::seal {

struct KmUuOptions {
  std::string skms_id;
  std::vector<std::string>
      other_roots;              ///< apiRoots beside `ReceptionOptions::api_root` that name this server
  bool refuse_replays = false;  ///< the same token, dateTime and selector once within the window
};

/// `reception.scope` is "skm" unless configured otherwise; `reception.api_root` is where UEs reach us.
void RegisterKmUu(http::Api& api, KmUuOptions options, ReceptionOptions reception,
                  SealDependencies dependencies);

}  // namespace skms::seal
