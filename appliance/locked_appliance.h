// LockedAppliance: what serves while no token is open: the admin socket alone, with health, state and unlock.
// An administrator gives a token's PIN over it, and the whole appliance is opened with that.
//
// The admin socket's listener is handed on, so that nobody who asks meanwhile is refused. Start, TakeOpened
// and the destructor belong to one owner thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/http/inherited_listeners.h"
#include "api/http/router.h"
#include "api/http/transport.h"
#include "appliance/appliance.h"
#include "appliance/config/configuration.h"
#include "appliance/entered_pins.h"
#include "appliance/metrics.h"
#include "keystore/key_store.h"

namespace skms::appliance {

class LockedAppliance {
 public:
  /// `why`: what an administrator is told. `configuration` must outlive it. Errors: kConfiguration, kIo.
  static Result<std::unique_ptr<LockedAppliance>> Start(const Configuration& configuration,
                                                        http::InheritedListeners inherited,
                                                        std::shared_ptr<EnteredPins> pins, Error why);
  LockedAppliance(const LockedAppliance&) = delete;
  LockedAppliance& operator=(const LockedAppliance&) = delete;
  /// Takes the admin socket's file away if it was made here.
  ~LockedAppliance();

  /// The appliance, once it was unlocked and this has ended to serve: start it. nullptr until then.
  std::unique_ptr<Appliance> TakeOpened();
  /// Administrators are still listened to.
  bool healthy() const;

 private:
  LockedAppliance(const Configuration& configuration, std::shared_ptr<EnteredPins> pins, Error why)
      : configuration_(configuration), pins_(std::move(pins)), why_(std::move(why)) {}
  Status Serve();
  void StopServing();
  Status Unlock(const std::string& label, SecretBytes pin, const keystore::Requester& by);
  Result<std::unique_ptr<Appliance>> Open(const std::string& label, const keystore::Requester& by);
  std::vector<std::string> Reasons() const;

  const Configuration& configuration_;
  SystemClock clock_;
  http::InheritedListeners inherited_;
  std::string own_socket_;  ///< its file; empty: the service manager's
  std::shared_ptr<EnteredPins> pins_;
  std::unique_ptr<http::Api> api_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<http::Transport> admin_;
  std::unique_ptr<http::Transport> remote_;  ///< administrators from other hosts, or nullptr

  std::mutex unlocking_;  ///< held while the appliance is opened, which may take long
  std::vector<keystore::RefusedRequest> refused_;  ///< recorded once there is an audit chain
  std::size_t recorded_ = 0;
  std::size_t tries_ = 0;  ///< that failed; more than are kept, if somebody tries for ever
  mutable std::mutex mutex_;
  Error why_;
  std::unique_ptr<Appliance> opened_;
  bool unlocked_ = false;
};

}  // namespace skms::appliance
