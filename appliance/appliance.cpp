#include "appliance/appliance.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <climits>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "api/seal/discovery.h"
#include "api/seal/event_subscriptions.h"
#include "api/seal/key_provisioning.h"
#include "api/seal/km_s.h"
#include "api/seal/km_uu.h"
#include "api/seal/seal_x1.h"
#include "appliance/host_accounts.h"
#include "appliance/listeners.h"
#include "appliance/overtaken.h"
#include "appliance/published.h"
#include "base/log.h"
#include "hsm/profile.h"

namespace skms::appliance {
namespace {

hsm::TokenOptions TokenOptionsFrom(const TokenSection& token) {
  hsm::TokenOptions options;
  options.module_path = token.module;
  options.init_args = token.init_args;
  options.label = token.label;
  options.serial = token.serial;
  options.max_sessions = token.max_sessions;
  options.session_wait = std::chrono::milliseconds(token.session_wait_ms);
  return options;
}

http::Limits LimitsFrom(const LimitsSection& section) {
  http::Limits limits;
  limits.max_target_bytes = section.target_bytes;
  limits.max_header_fields = section.header_fields;
  limits.max_header_bytes = section.header_bytes;
  limits.max_body_bytes = section.body_bytes;
  limits.max_concurrent_requests = section.concurrent_requests;
  limits.max_waiting_requests = section.waiting_requests;
  limits.max_wait = std::chrono::milliseconds(section.max_wait_ms);
  return limits;
}

/// A socket that the processes of one user alone may open, and whose word about its clients counts.
struct ProxySocket {
  const char* user_key;  ///< of the configuration, named in errors
  const std::string& user;
  const std::string& path;
  http::TransportKind kind;
};

Result<http::UnixOptions> ProxyOptionsFrom(const ProxySocket& socket, const ListenSection& listen) {
  SKMS_TRY(const HostUser user, FindHostUser(socket.user_key, socket.user));
  http::UnixOptions options;
  options.path = socket.path;
  options.kind = socket.kind;
  options.peer = user.uid;
  if (user.uid != ::geteuid()) {
    options.mode = 0660;
    options.group = user.gid;
  }
  options.max_connections = listen.max_connections;
  options.keep_alive = std::chrono::milliseconds(listen.keep_alive_ms);
  options.request_time = std::chrono::milliseconds(listen.request_time_ms);
  options.answer_time = std::chrono::milliseconds(listen.answer_time_ms);
  return options;
}

/// For an operator should not have to ask for them.
void LogWarnings(const hsm::Capabilities& capabilities, const TokenSection& token) {
  for (const hsm::CapabilityRow& row : capabilities.rows) {
    if (row.finding == hsm::Finding::kWarn)
      LogWarning("token '" + token.label + "': " + row.name + ": " + row.detail);
  }
}

/// kUnsupported: the token is below what the configuration asks.
Status CheckToken(const hsm::Capabilities& capabilities, const TokenSection& token) {
  const hsm::Profile profile = hsm::ProfileNamed(token.profile).value_or(hsm::Profile::kStrict);
  const hsm::ProfileVerdict verdict = hsm::Judge(profile, capabilities);
  if (!verdict.passes()) {
    return Error{ErrorCode::kUnsupported, "token '" + token.label + "' is below token.profile " +
                                              token.profile + " (" + hsm::FailedLines(verdict) +
                                              "); see: skmsctl token probe"};
  }
  if (token.refuse_sha1_oaep && capabilities.oaep_hash != hsm::OaepHash::kSha256) {
    return Error{
        ErrorCode::kUnsupported,
        "this token has no RSA-OAEP with SHA-256, and token.refuse_sha1_oaep is true; use another token, or "
        "set it to false"};
  }
  return Ok();
}

std::vector<hsm::TokenMember> MembersFrom(const Configuration& configuration,
                                          const std::shared_ptr<EnteredPins>& pins) {
  std::vector<hsm::TokenMember> members;
  for (const TokenSection& section : configuration.tokens) {
    // At each opening, for it may come back with other firmware; its warnings once.
    const auto accept = [section, told = std::make_shared<std::once_flag>()](const hsm::Capabilities& can) {
      std::call_once(*told, [&] { LogWarnings(can, section); });
      return CheckToken(can, section);
    };
    members.push_back({TokenOptionsFrom(section), [section, pins] { return pins->PinOf(section); },
                       section.weight, accept,
                       [label = section.label, pins](const SecretBytes& pin, bool took) {
                         pins->Answered(label, pin, took);
                       }});
  }
  return members;
}

/// Among those that share a database.
std::string ServerName(const Configuration& configuration) {
  if (!configuration.store.server.empty()) return configuration.store.server;
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

}  // namespace

Result<std::unique_ptr<Appliance>> Appliance::Open(const Configuration& configuration,
                                                   http::InheritedListeners inherited,
                                                   std::shared_ptr<EnteredPins> pins) {
  std::unique_ptr<Appliance> appliance(new Appliance());
  appliance->pins_ = std::move(pins);
  appliance->inherited_ = std::move(inherited);
  SKMS_TRY(appliance->module_, hsm::CryptoModule::Open(MembersFrom(configuration, appliance->pins_)));
  SKMS_TRY(appliance->store_,
           keystore::KeyStore::Open(
               {configuration.store.path, configuration.store.answer_cache_bytes, configuration.store.url,
                configuration.store.shared, ServerName(configuration)},
               *appliance->module_, appliance->clock_));
  SKMS_TRYV(appliance->Wire(configuration));
  SKMS_TRYV(appliance->inherited_.CheckAllTaken());
  return appliance;
}

Appliance::~Appliance() { Stop(); }

Status Appliance::Wire(const Configuration& configuration) {
  started_ = clock_.NowSeconds();
  IssuerKeysOptions keys;
  keys.look_at_most_every = std::chrono::seconds(configuration.access_token.jwks_new_key_s);
  keys.refresh_every = std::chrono::seconds(configuration.access_token.jwks_refresh_s);
  issuer_keys_ = std::make_unique<IssuerKeys>(*store_, clock_, keys);
  directory_ = std::make_unique<DirectoryAdapter>(*store_, *issuer_keys_);
  auth::AuthenticatorOptions options;
  options.leeway_seconds = configuration.access_token.leeway_s;
  options.requests_per_second = configuration.limits.requests_per_second;
  options.burst = configuration.limits.burst;
  options.refused_per_second = configuration.limits.refused_per_second;
  options.refused_burst = configuration.limits.refused_burst;
  authenticator_ = std::make_unique<auth::Authenticator>(*directory_, clock_, options);

  SKMS_TRYV(WireSeal(configuration));

  WireKeepers(configuration);
  SKMS_TRYV(WireAdmin(configuration));
  const EdgeSection& edge = configuration.edge;
  SKMS_TRY(km_s_, Listener(configuration, configuration.listen, edge.socket, true, *api_));
  return Ok();
}

void Appliance::WireKeepers(const Configuration& configuration) {
  RotationOptions rotation;
  rotation.keys_in_a_run = configuration.rotation.keys_in_a_run;
  rotation.share_percent = static_cast<int>(configuration.rotation.share_percent);
  rotation.hold_clock_step = std::chrono::seconds(configuration.rotation.hold_clock_step_s);
  store_watch_ = std::make_unique<StoreWatch>(*store_);
  rotation_ = std::make_unique<RotationScheduler>(*store_, clock_, rotation);

  rewrapper_ = std::make_unique<KeyRewrapper>(
      *store_, RewrapOptions{configuration.rewrap.rows_per_second,
                             static_cast<int>(configuration.rewrap.share_percent)});

  audit_keeper_ = std::make_unique<AuditKeeper>(*store_, configuration.audit, configuration.store.path);
  audit_exporter_ =
      std::make_unique<AuditExporter>(*store_, configuration.audit, MakeAuditSink(configuration.audit));

  backup_keeper_ = std::make_unique<BackupKeeper>(*store_, configuration, kVersion);

  NotifierOptions notify;
  notify.skms_id = configuration.skms.id;
  notify.time_limit = std::chrono::milliseconds(configuration.notify.time_limit_ms);
  notify.first_retry = std::chrono::milliseconds(configuration.notify.first_retry_ms);
  notify.last_retry = std::chrono::milliseconds(configuration.notify.last_retry_ms);
  notify.drop_after = std::chrono::seconds(configuration.notify.drop_after_s);
  notifier_ = std::make_unique<Notifier>(
      *store_, clock_, [this] { return rotation_->ClockIsSuspect(); }, notify);
}

Result<std::unique_ptr<http::Transport>> Appliance::Listener(const Configuration& configuration,
                                                             const ListenSection& listen,
                                                             const std::string& edge_socket,
                                                             bool certificate_required, http::Api& api) {
  if (BehindEdge(configuration)) {
    SKMS_TRY(http::UnixOptions options,
             ProxyOptionsFrom({"edge.user", configuration.edge.user, edge_socket, http::TransportKind::kEdge},
                              listen));
    options.inherited = inherited_.TakeUnix(options.path);
    return http::CreateUnixTransport(options, api);
  }
  http::DirectOptions options = DirectOptionsFrom(listen, certificate_required ? "listen" : "listen_ue");
  options.client_certificate_required = certificate_required;
  options.inherited = inherited_.TakeTcp(options.address, options.port);
  return http::CreateDirectTransport(options, api);
}

Status Appliance::WireSeal(const Configuration& configuration) {
  api_ = std::make_unique<http::Api>(LimitsFrom(configuration.limits));
  api_->SetAround(AroundDeliveries(*store_));
  const auto window_ms = static_cast<std::int64_t>(configuration.access_token.time_window_s) * 1000;
  const seal::SealDependencies dependencies{*store_, *authenticator_, clock_};
  published_ = std::make_unique<PublishedDocument>(configuration, *module_);
  SKMS_TRYV(seal::RegisterDiscovery(*api_, configuration.skms.uri, [this] { return published_->Current(); }));
  seal::RegisterKmS(*api_, configuration.skms.id,
                    {configuration.skms.uri, configuration.access_token.scope_ss_kir, window_ms, "deliver"},
                    dependencies);
  seal::RegisterSealX1(*api_, configuration.skms.id,
                       {configuration.skms.uri, configuration.access_token.scope_seal_x1, window_ms, "group"},
                       dependencies);
  seal::RegisterEventSubscriptions(
      *api_, {configuration.skms.uri, configuration.access_token.scope_skms_events, window_ms, "subscribe"},
      dependencies);

  seal::RegisterKeyProvisioning(
      *api_,
      {configuration.skms.id, [this] { return TransferKeysOf(*module_); }, configuration.limits.payload_bytes,
       configuration.skms.also_known_as},
      {configuration.skms.uri, configuration.access_token.scope_ss_kpp, window_ms, "provision"},
      dependencies);
  if (configuration.listen_ue.present) SKMS_TRYV(WireUe(configuration));
  return Ok();
}

Status Appliance::WireUe(const Configuration& configuration) {
  const ListenUeSection& section = configuration.listen_ue;
  ue_api_ = std::make_unique<http::Api>(LimitsFrom(configuration.limits));
  ue_api_->SetAround(AroundDeliveries(*store_));
  const auto for_ues = [this, uri = section.uri]() -> Result<seal::DiscoveryDocument> {
    SKMS_TRY(seal::DiscoveryDocument document, published_->Current());
    document.skms_uri = uri;
    std::erase_if(document.apis,
                  [](const seal::PublishedApi& one) { return one.reference_point != "KM-UU"; });
    return document;
  };
  SKMS_TRYV(seal::RegisterDiscovery(*ue_api_, section.uri, for_ues));
  const auto window_ms = static_cast<std::int64_t>(configuration.access_token.time_window_s) * 1000;
  std::vector<std::string> other_roots = configuration.skms.also_known_as;
  other_roots.push_back(configuration.skms.uri);
  other_roots.insert(other_roots.end(), section.also_known_as.begin(), section.also_known_as.end());
  seal::RegisterKmUu(*ue_api_,
                     {.skms_id = configuration.skms.id,
                      .other_roots = std::move(other_roots),
                      .refuse_replays = configuration.access_token.refuse_replays},
                     {section.uri, configuration.access_token.scope_skm, window_ms, "deliver"},
                     {*store_, *authenticator_, clock_});
  SKMS_TRY(ue_, Listener(configuration, section.listen, configuration.edge.ue_socket, false, *ue_api_));
  if (section.trusted_socket.empty()) return Ok();
  SKMS_TRY(http::UnixOptions trusted,
           ProxyOptionsFrom({"listen_ue.trusted_user", section.trusted_user, section.trusted_socket,
                             http::TransportKind::kAssertingProxy},
                            section.listen));
  trusted.inherited = inherited_.TakeUnix(trusted.path);
  SKMS_TRY(trusted_, http::CreateUnixTransport(trusted, *ue_api_));
  return Ok();
}

Status Appliance::Start() {
  store_watch_->Start();
  rotation_->Start();
  rewrapper_->Start();
  audit_keeper_->Start();
  SKMS_TRYV(audit_exporter_->Start());
  backup_keeper_->Start();
  status_view_->Start();
  issuer_keys_->Start();
  SKMS_TRYV(notifier_->Start());
  // The admin socket last: whoever sees it answer finds KM-S there too.
  SKMS_TRYV(km_s_->Start());
  if (ue_) SKMS_TRYV(ue_->Start());
  if (trusted_) SKMS_TRYV(trusted_->Start());
  if (remote_admin_) SKMS_TRYV(remote_admin_->Start());
  return admin_->Start();
}

void Appliance::Stop() {
  // Requests in flight finish, but a backup may be of gigabytes.
  if (backup_keeper_) backup_keeper_->Interrupt();
  // At once: what hangs on one must not leave the others open.
  std::vector<std::thread> stops;
  for (http::Transport* transport :
       {km_s_.get(), ue_.get(), trusted_.get(), remote_admin_.get(), admin_.get()}) {
    if (transport != nullptr) stops.emplace_back([transport] { transport->Stop(); });
  }
  for (std::thread& stop : stops) stop.join();
  if (backup_keeper_) backup_keeper_->Stop();
  if (status_view_) status_view_->Stop();
  if (store_watch_) store_watch_->Stop();
  if (rotation_) rotation_->Stop();
  if (rewrapper_) rewrapper_->Stop();
  if (notifier_) notifier_->Stop();
  if (issuer_keys_) issuer_keys_->Stop();
  // The last: the others append to what it signs.
  if (audit_keeper_) audit_keeper_->Stop();
  if (audit_exporter_) audit_exporter_->Stop();
}

Status Appliance::CheckAnswers() const {
  if (!healthy()) return Error{ErrorCode::kIo, "a listener has ended"};
  // A database server that is away is connected to when it is back; a new process would not even start.
  if (const auto audit = store_->Audit();
      audit.has_error() && audit.error().code != ErrorCode::kStoreUnavailable)
    return audit.error();
  // A token that is known to be lost is being opened again, or waits for its PIN: a new process could do no
  // more, would send a refused PIN once more, and has none of the answers that are kept.
  if (!module_->health().available) return Ok();
  if (const auto random = module_->Random(1); random.has_error() && module_->health().available)
    return random.error();
  return Ok();
}

bool Appliance::healthy() const {
  return km_s_->running() && admin_->running() && (!ue_ || ue_->running()) &&
         (!trusted_ || trusted_->running()) && (!remote_admin_ || remote_admin_->running());
}

}  // namespace skms::appliance
