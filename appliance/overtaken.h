// What is done about requests that another server's change overtakes, where several share a database
// (keystore/decision.h). Nothing is done, and nothing returned, where this server has it alone.
//
// Both are called by many threads at once. `store` must outlive them.
#pragma once

#include "api/http/router.h"
#include "keystore/key_store.h"

namespace skms::appliance {

/// A request that was overtaken before it carried anything out is decided again, a few times. One that wrote
/// nothing, and so heard of no change, hears of them before its answer goes out; 503 where it cannot.
http::Api::Around AroundDeliveries(keystore::KeyStore& store);

/// Administrators see what was changed until they ask, wherever. What carries out several steps is not begun
/// again. Status, metrics and the like wait for no database.
http::Api::Around AroundAdministration(keystore::KeyStore& store);

}  // namespace skms::appliance
