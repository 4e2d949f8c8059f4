// Appliance: the daemon's parts wired together — token, key store, authenticator, APIs, transports.
//
// Made by Open, served by Start, ended by Stop (requests in flight finish). One owner thread. Members are
// destroyed in the reverse order of their making, so that no transport outlives what its handlers use.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "api/auth/authenticator.h"
#include "api/http/inherited_listeners.h"
#include "api/http/router.h"
#include "api/http/transport.h"
#include "appliance/audit_exporter.h"
#include "appliance/audit_keeper.h"
#include "appliance/backup_keeper.h"
#include "appliance/config/configuration.h"
#include "appliance/directory_adapter.h"
#include "appliance/entered_pins.h"
#include "appliance/issuer_keys.h"
#include "appliance/key_rewrapper.h"
#include "appliance/metrics.h"
#include "appliance/notifier.h"
#include "appliance/published.h"
#include "appliance/rotation_scheduler.h"
#include "appliance/status_view.h"
#include "appliance/store_watch.h"
#include "base/clock.h"
#include "base/result.h"
#include "hsm/crypto_module.h"
#include "keystore/key_store.h"

namespace skms::appliance {

inline constexpr const char* kVersion = SKMS_VERSION;

class Appliance {
 public:
  /// Errors: those of CryptoModule::Open, KeyStore::Open, transports; kUnsupported when the configuration
  /// refuses SHA-1 OAEP and the token has nothing else.
  /// `inherited`: sockets that the service manager holds; kConfiguration if the configuration has no use for
  /// one. `pins`: those that administrators type go there.
  static Result<std::unique_ptr<Appliance>> Open(const Configuration& configuration,
                                                 http::InheritedListeners inherited,
                                                 std::shared_ptr<EnteredPins> pins);
  Appliance(const Appliance&) = delete;
  Appliance& operator=(const Appliance&) = delete;
  ~Appliance();

  /// Begins to serve: the admin socket first, then the network. Errors: kIo.
  Status Start();
  /// Idempotent.
  void Stop();
  /// TCP port of KM-S (useful with port 0); 0 behind the edge.
  int port() const { return km_s_->port(); }
  /// False when a listener ended by itself: the daemon should stop and be restarted.
  bool healthy() const;
  /// TCP port of KM-UU; 0 where it is not opened.
  int ue_port() const { return ue_ ? ue_->port() : 0; }
  /// Do the database and a token answer, or is the token known to be lost? May hang where they do. Errors:
  /// kIo (a listener ended), kStorage, the token's.
  Status CheckAnswers() const;
  admin::AuditReport AuditReport() const;
  hsm::TokenInfo token() const { return module_->info(); }
  keystore::KeyStore& store() { return *store_; }

 private:
  Appliance() = default;
  Status Wire(const Configuration& configuration);
  /// What works in the background.
  void WireKeepers(const Configuration& configuration);
  Status WireAdmin(const Configuration& configuration);
  Status Unlock(const Configuration& configuration, const std::string& label, SecretBytes pin,
                const keystore::Requester& by);
  /// kConflict: somebody may hold rows as they were before the re-wrapping.
  Status MayRetire() const;
  Status WireSeal(const Configuration& configuration);
  Status WireUe(const Configuration& configuration);
  /// TLS of our own, or the edge's socket.
  Result<std::unique_ptr<http::Transport>> Listener(const Configuration& configuration,
                                                    const ListenSection& listen,
                                                    const std::string& edge_socket, bool certificate_required,
                                                    http::Api& api);

  http::InheritedListeners inherited_;
  SystemClock clock_;
  std::int64_t started_ = 0;
  std::shared_ptr<EnteredPins> pins_;
  std::mutex unlocking_;  ///< one gives a PIN at a time
  std::unique_ptr<hsm::CryptoModule> module_;
  std::unique_ptr<keystore::KeyStore> store_;
  std::unique_ptr<PublishedDocument> published_;
  std::unique_ptr<IssuerKeys> issuer_keys_;
  std::unique_ptr<DirectoryAdapter> directory_;
  std::unique_ptr<auth::Authenticator> authenticator_;
  std::unique_ptr<StoreWatch> store_watch_;
  std::unique_ptr<RotationScheduler> rotation_;
  std::unique_ptr<KeyRewrapper> rewrapper_;
  std::unique_ptr<AuditKeeper> audit_keeper_;
  std::unique_ptr<AuditExporter> audit_exporter_;
  std::unique_ptr<BackupKeeper> backup_keeper_;
  std::unique_ptr<Notifier> notifier_;
  std::unique_ptr<http::Api> api_;
  std::unique_ptr<http::Api> admin_api_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<StatusView> status_view_;
  std::unique_ptr<http::Transport> admin_;
  std::unique_ptr<http::Transport> remote_admin_;  ///< nullptr where it is not opened
  std::unique_ptr<http::Transport> km_s_;
  std::unique_ptr<http::Api> ue_api_;
  std::unique_ptr<http::Transport> ue_;       ///< nullptr where KM-UU is not opened
  std::unique_ptr<http::Transport> trusted_;  ///< KM-UU for this host's reverse proxy, or nullptr
};

}  // namespace skms::appliance
