// Event subscriptions: a VAL server or group management server asks to be told when a key that it may read is
// rotated, compromised or rekeyed. The resources are ours, api/openapi/skms_events.yaml, and shaped like the
// subscriptions of TS 29.549 SS_Events:
//
//   POST, GET {apiRoot}/skms-events/v1/subscriptions
//   GET, DELETE {apiRoot}/skms-events/v1/subscriptions/{subscriptionId}
//
// Mutual TLS and an access token, as on KM-S. Whose subscription it is not sees none. Thread-safe.
#pragma once

#include "api/http/router.h"
#include "api/seal/reception.h"

namespace skms::seal {

/// `options.scope` is "skms-events" unless configured otherwise.
void RegisterEventSubscriptions(http::Api& api, ReceptionOptions options, SealDependencies dependencies);

}  // namespace skms::seal
