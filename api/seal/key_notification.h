// KeyNotification: what a subscriber's callback is told (api/openapi/skms_events.yaml). Never key material.
//
// Pure functions; thread-safe.
#pragma once

#include <string>

#include "keystore/key_store.h"

namespace skms::seal {

/// {"subscriptionId", "skmsId", "events": [{"number", "event", "time", "service", "scope", "target"?, "kid",
/// "version", "state"}]} as text.
std::string EncodeKeyNotification(const keystore::Subscription& subscription,
                                  const keystore::EventBatch& batch, const std::string& skms_id);

}  // namespace skms::seal
