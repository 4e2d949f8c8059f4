// SEAL-X1: the group management server's access to group keys (TS 23.434 13.3.2 names the reference point and
// specifies no message; the resources are ours, api/openapi/skms_seal_x1.yaml):
//
//   PUT, GET, DELETE {apiRoot}/seal-x1/v1/groups/{valGroupId}
//   GET  {apiRoot}/seal-x1/v1/groups/{valGroupId}/key-records
//   POST {apiRoot}/seal-x1/v1/groups/{valGroupId}/rekey
//
// Mutual TLS and an access token, as on KM-S, for principals of role group-server. A change of a group that
// is there needs If-Match with its entity tag: 428 without, 412 with an old one. Thread-safe.
#pragma once

#include <string>

#include "api/http/router.h"
#include "api/seal/reception.h"

namespace skms::seal {

/// `options.scope` is "seal-x1" unless configured otherwise.
void RegisterSealX1(http::Api& api, const std::string& skms_id, ReceptionOptions options,
                    SealDependencies dependencies);

}  // namespace skms::seal
