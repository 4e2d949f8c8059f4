// IssuerKeys: the daemon's keeper of JWK Sets that issuers publish at a URI (RFC 7517; OpenID Connect
// Discovery `jwks_uri`).
//
// Fetched when an issuer is added, every `refresh_every`, and when a token names a key that nobody has. What
// is fetched goes into the key store's directory, under a MAC and with an audit entry, and only if it can be
// used: an issuer that is down or answers nonsense keeps its last good keys, also across a restart.
// Thread-safe but for Start and Stop, which are one owner thread's. Borrows the store.
#pragma once

#include <chrono>
#include <memory>

#include "api/admin/admin_api.h"
#include "base/clock.h"
#include "keystore/key_store.h"

namespace skms::appliance {

struct IssuerKeysOptions {
  std::chrono::seconds refresh_every{3600};
  std::chrono::seconds retry_after{60};         ///< after a failure
  std::chrono::seconds look_at_most_every{30};  ///< for keys that a token names and nobody has, per issuer
  std::chrono::milliseconds time_limit{3000};   ///< of one fetch
};

class IssuerKeys {
 public:
  IssuerKeys(keystore::KeyStore& store, const Clock& clock, IssuerKeysOptions options);
  IssuerKeys(const IssuerKeys&) = delete;
  IssuerKeys& operator=(const IssuerKeys&) = delete;
  ~IssuerKeys();

  void Start();
  /// Idempotent; waits for a fetch under way.
  void Stop();

  /// Fetches now. Errors: kNotFound, kInvalidArgument (what came is no usable JWK Set), kIo (nothing came),
  /// kStorage.
  Status Fetch(const keystore::IssuerId& id);
  /// True when the keys were fetched for this call or while it waited. False at once: no URI, looked for too
  /// recently, or others wait already.
  bool Refresh(const keystore::IssuerId& id);
  admin::KeyFetch report(const keystore::IssuerId& id) const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace skms::appliance
