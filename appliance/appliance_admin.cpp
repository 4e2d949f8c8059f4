// The appliance's side of the admin socket: what its API is wired to.
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "api/admin/admin_api.h"
#include "api/admin/appliance_state.h"
#include "appliance/appliance.h"
#include "appliance/host_accounts.h"
#include "appliance/listeners.h"
#include "appliance/overtaken.h"

namespace skms::appliance {

Status Appliance::WireAdmin(const Configuration& configuration) {
  SKMS_TRY(admin::AdminAccess access, FindAdminAccess(configuration));
  const std::optional<gid_t> group = access.admin_group;
  admin_api_ = std::make_unique<http::Api>(http::Limits{});
  admin_api_->SetAround(AroundAdministration(*store_));
  admin::AdminDependencies dependencies{
      .store = *store_,
      .module = *module_,
      .clock = clock_,
      .access = std::move(access),
      .approvals = {configuration.approvals.required,
                    {configuration.approvals.quorum, configuration.approvals.expires_s}},
      .skms_id = configuration.skms.id,
      .version = kVersion,
      .started = started_,
      .healthy = [this] { return healthy(); },
      .rotation = {[this] { return rotation_->report(); },
                   [this](const keystore::PrincipalId& by) { return rotation_->Resume(by); }},
      .issuer_keys = {[this](const keystore::IssuerId& id) { return issuer_keys_->Fetch(id); },
                      [this](const keystore::IssuerId& id) { return issuer_keys_->report(id); }},
      .token_keys = {[this] { return rewrapper_->report(); }, [this] { rewrapper_->Begin(); },
                     [this] { return MayRetire(); }},
      .audit = {[this] { return AuditReport(); }, [this] { audit_keeper_->BeginDeleting(); }},
      .backups = backup_keeper_->control(),
      .unlock =
          [this, configuration](const std::string& label, SecretBytes pin, const keystore::Requester& by) {
            return Unlock(configuration, label, std::move(pin), by);
          }};
  MetricSources sources{
      .configuration = configuration,
      .clock = clock_,
      .started = started_,
      .state = [dependencies] { return admin::JudgeState(dependencies); },
      .apis = {{"listen", api_.get()}, {"listen_ue", ue_api_.get()}, {"admin", admin_api_.get()}},
      .module = module_.get(),
      .store = store_.get(),
      .rotation = [this] { return rotation_->report(); },
      .rewrap = [this] { return rewrapper_->report(); },
      .audit = [this] { return AuditReport(); }};
  metrics_ = std::make_unique<Metrics>(sources);
  status_view_ = std::make_unique<StatusView>(std::move(sources), *metrics_);
  dependencies.metrics = [this] { return metrics_->Text(); };
  dependencies.page = [this] { return status_view_->Page(); };
  admin::RegisterAdminApi(*admin_api_, std::move(dependencies));

  http::UnixOptions unix_options;
  unix_options.path = configuration.admin.socket;
  unix_options.mode = group ? 0660 : 0600;
  unix_options.group = group;
  unix_options.inherited = inherited_.TakeUnix(unix_options.path);
  SKMS_TRY(admin_, http::CreateUnixTransport(unix_options, *admin_api_));
  SKMS_TRY(remote_admin_, RemoteAdmin(configuration, inherited_, *admin_api_));
  return Ok();
}

Status Appliance::Unlock(const Configuration& configuration, const std::string& label, SecretBytes pin,
                         const keystore::Requester& by) {
  SKMS_TRY(const TokenSection token, FindToken(configuration, label));
  for (const hsm::TokenStatus& one : module_->tokens()) {
    if (one.info.label == token.label && one.health.available)
      return Conflict("the token '" + token.label + "' is open; it needs no PIN");
  }
  const std::unique_lock alone(unlocking_, std::try_to_lock);
  if (!alone) return Conflict("somebody else is just giving a PIN; see: skmsctl status");
  auto former = pins_->Keep(token.label, std::move(pin));
  Status opened = module_->OpenNow(token.label);
  if (opened.has_value()) return store_->RecordUnlock(by, token.label);
  Error why = std::move(opened).error();
  // One that has joined nobody yet took the PIN all the same.
  if (why.code == ErrorCode::kTokenBlank) {
    SKMS_TRYV(store_->RecordUnlock(by, token.label));
    return why;
  }
  if (why.code == ErrorCode::kPinIncorrect || former) {
    pins_->Restore(token.label, std::move(former));
  } else {
    why.detail += "; the PIN is kept, and tried once when the token is there";
  }
  return why;
}

Status Appliance::MayRetire() const {
  const auto since = rewrapper_->AllRewrappedSince();
  if (!since) return Conflict("rows are still under former token keys; see: skmsctl kek status");
  // Nobody sees here what the other servers still serve.
  constexpr std::chrono::minutes kLongestElsewhere{2};
  if (store_->is_shared() && std::chrono::steady_clock::now() - *since < kLongestElsewhere) {
    return Conflict(
        "requests that another server began before all rows were re-wrapped may still be served; try again "
        "in two minutes");
  }
  for (const auto* api : {&api_, &ue_api_, &admin_api_}) {
    if (!*api) continue;
    const auto oldest = (*api)->OldestRequest();
    if (oldest && *oldest <= *since) {
      return Conflict(
          "a request that began before all rows were re-wrapped is still being served; try again "
          "in a moment");
    }
  }
  return Ok();
}

admin::AuditReport Appliance::AuditReport() const {
  admin::AuditReport report = audit_keeper_->report();
  report.exported = audit_exporter_->report();
  return report;
}

}  // namespace skms::appliance
