// Notifier: the daemon's thread that tells subscribers' callbacks what happened to keys: at least once, in
// order, with back-off, across restarts; given up (with an audit entry) when too old.
//
// HTTPS only, verified against the subscription's own CA and nothing else; no redirect is followed, no proxy
// used, no answer read. Each subscription has at most one transfer under way, and none waits for another's: a
// target that hangs costs its own subscription its time limit. Start, Stop: one owner thread. Borrows the
// store and the clock.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "keystore/key_store.h"

namespace skms::appliance {

struct NotifierOptions {
  std::string skms_id;
  std::chrono::milliseconds look_every{500};     ///< for new events
  std::chrono::milliseconds time_limit{10000};   ///< of one transfer
  std::chrono::milliseconds first_retry{1000};   ///< doubled with every failure
  std::chrono::milliseconds last_retry{300000};  ///< never longer
  std::chrono::seconds drop_after{86400};        ///< age at which an event that nobody took is given up
  std::uint32_t most_in_one = 100;               ///< events in one transfer
  std::size_t most_transfers = 64;               ///< under way at once
};

class Notifier {
 public:
  /// While `clock_is_suspect` nothing is given up as too old. It is called by the notifier's thread.
  Notifier(keystore::KeyStore& store, const Clock& clock, std::function<bool()> clock_is_suspect,
           NotifierOptions options);
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;
  ~Notifier();

  /// Errors: kInternal (libcurl cannot start).
  Status Start();
  /// Transfers under way are cut and sent again after the next start. Idempotent.
  void Stop();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace skms::appliance
