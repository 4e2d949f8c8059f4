// Fetch: one KM-S request over mutual TLS 1.2/1.3 with an access token (TS 29.549 7.6.1).
//
// Thread-safe. The token is wiped by its owner; it is given to libcurl as a header, never as an argument of a
// process.
#pragma once

#include <string>

#include "base/result.h"
#include "base/secret_bytes.h"
#include "client/key_answer.h"

namespace skms::client {

struct Endpoint {
  std::string url;  ///< apiRoot, "https://…"
  std::string ca_path;
  std::string certificate_path;
  std::string private_key_path;
};

struct HttpAnswer {
  long status = 0;
  std::string body;
};

/// Any HTTP answer, also a refusal. Errors: kInvalidArgument (not https), kIo (network, TLS; the detail says
/// what).
Result<HttpAnswer> FetchKeyRecords(const Endpoint& endpoint, const SecretBytes& access_token,
                                   const KeyQuery& query);

/// "{url}/ss-kir/v1/key-records?val-service-id=…&val-tgt-ue=…".
std::string KeyRecordsUrl(const std::string& url, const KeyQuery& query);

}  // namespace skms::client
