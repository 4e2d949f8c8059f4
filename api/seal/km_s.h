// KM-S key retrieval: GET {apiRoot}/ss-kir/v1/key-records (SS_KeyInfoRetrieval, TS 29.549 5.7.1 and 7.6.1;
// TS 33.434 5.3). Mutual TLS and an access token; answers ValKeyInfo.
//
// Answers: 200; 304 (If-None-Match); 400, 401, 403, 404, 406, 429, 500, 503 as problem+json. Every grant and
// every refusal is in the audit chain before the answer; where that fails the answer is 500. Turned away
// before any decision, and so not in the chain but in the log alone: 429, and 503 for too many at once.
// Thread-safe; the dependencies must outlive the Api.
#pragma once

#include <string>

#include "api/http/router.h"
#include "api/seal/reception.h"

namespace skms::seal {

/// `options.scope` is "ss-kir" unless configured otherwise.
void RegisterKmS(http::Api& api, const std::string& skms_id, ReceptionOptions options,
                 SealDependencies dependencies);

}  // namespace skms::seal
