// Moving a store to another database, with nobody at either.
#pragma once

#include <string>

#include "base/clock.h"
#include "hsm/crypto_module.h"
#include "keystore/backup.h"
#include "keystore/database.h"
#include "keystore/key_store_values.h"

namespace skms::keystore {

struct StoreMoved {
  DatabaseCheck found;  ///< in the database that it was moved to
  std::string from;     ///< for people
  std::string to;
};

/// Copies all that is in `from` to `to`, which has no content, and looks at each row and at the audit chain
/// there. What is moved says so in its chain. Uses the token keys that the database names. `from` stays as it
/// is but for that entry, and no KeyStore opens it again. Errors: kConflict (somebody uses either; `to` has
/// content), kIntegrity (a row or the chain of `from` was changed, or what arrived is not what was sent; `to`
/// holds nothing then), kStorage, kStoreUnavailable, the token's.
Result<StoreMoved> MoveStore(const StoreLocation& from, const StoreLocation& to, hsm::CryptoModule& module,
                             const Clock& clock, const Requester& by);

/// kConflict: the store was moved from here; it goes on elsewhere.
Status CheckNotMoved(Database& database);

}  // namespace skms::keystore
