// KM-S key retrieval: GET {apiRoot}/ss-kir/v1/key-records (SS_KeyInfoRetrieval, TS 29.549 5.7.1 and 7.6.1;
// TS 33.434 5.3). Mutual TLS and an access token; answers ValKeyInfo.
//
// Answers: 200; 304 (If-None-Match); 400, 401, 403, 404, 406, 429, 500, 503 as problem+json. Every grant and
// every refusal is in the audit chain before the answer; where that fails the answer is 500. Turned away
// before any decision, and so not in the chain but in the log alone: 429, and 503 for too many at once.
// Thread-safe; the dependencies must outlive the Api.
#pragma once

#include <cstdint>
#include <string>

#include "api/auth/authenticator.h"
#include "api/http/router.h"
#include "base/clock.h"
#include "keystore/key_store.h"

namespace skms::seal {

struct KmSOptions {
  std::string skms_id;
  std::string api_root;  ///< "https://host[:port][/prefix]"
  std::string scope = "ss-kir";
  std::int64_t time_window_ms = 5000;
};

struct KmSDependencies {
  keystore::KeyStore& store;
  auth::Authenticator& authenticator;
  const Clock& clock;
};

void RegisterKmS(http::Api& api, KmSOptions options, KmSDependencies dependencies);

}  // namespace skms::seal
