#include "appliance/locked_appliance.h"

#include <unistd.h>

#include <optional>
#include <utility>

#include "api/admin/locked_api.h"
#include "api/http/listening_socket.h"
#include "appliance/host_accounts.h"
#include "appliance/listeners.h"
#include "base/log.h"

namespace skms::appliance {
namespace {

// Somebody who tries for ever fills no memory.
constexpr std::size_t kMostKept = 100;

}  // namespace

Result<std::unique_ptr<LockedAppliance>> LockedAppliance::Start(const Configuration& configuration,
                                                                http::InheritedListeners inherited,
                                                                std::shared_ptr<EnteredPins> pins,
                                                                Error why) {
  std::unique_ptr<LockedAppliance> locked(
      new LockedAppliance(configuration, std::move(pins), std::move(why)));
  locked->inherited_ = std::move(inherited);
  SKMS_TRYV(locked->Serve());
  return locked;
}

Status LockedAppliance::Serve() {
  SKMS_TRY(admin::AdminAccess access, FindAdminAccess(configuration_));
  const std::optional<gid_t> group = access.admin_group;
  api_ = std::make_unique<http::Api>(http::Limits{});
  MetricSources sources{.configuration = configuration_, .clock = clock_, .started = clock_.NowSeconds()};
  sources.apis = {{"admin", api_.get()}};
  metrics_ = std::make_unique<Metrics>(std::move(sources));
  admin::RegisterLockedApi(
      *api_, {.access = std::move(access),
              .skms_id = configuration_.skms.id,
              .version = kVersion,
              .clock = clock_,
              .started = clock_.NowSeconds(),
              .reasons = [this] { return Reasons(); },
              .metrics = [this] { return metrics_->Text(); },
              .unlock = [this](const std::string& label, SecretBytes pin,
                               const keystore::Requester& by) { return Unlock(label, std::move(pin), by); }});
  http::UnixOptions options;
  options.path = configuration_.admin.socket;
  if (!inherited_.HasUnix(options.path)) {
    SKMS_TRY(const int listener, http::ListenOnUnix(options.path, group ? 0660 : 0600, group));
    own_socket_ = options.path;
    SKMS_TRYV(inherited_.Add(listener));
  }
  if (const ListenAdminSection& section = configuration_.listen_admin; section.present) {
    // Listened on here, so that no connection is refused when the opened appliance takes over.
    const auto port = static_cast<int>(section.listen.port);
    std::optional<int> listener = inherited_.TakeTcp(section.listen.address, port);
    if (!listener) {
      SKMS_TRY(listener, http::ListenOnTcp(section.listen.address, port));
    }
    SKMS_TRYV(inherited_.Add(*listener));
  }
  SKMS_TRY(http::InheritedListeners mine, inherited_.Duplicate());
  options.inherited = mine.TakeUnix(options.path);
  SKMS_TRY(admin_, http::CreateUnixTransport(options, *api_));
  SKMS_TRY(remote_, RemoteAdmin(configuration_, mine, *api_));
  if (remote_) SKMS_TRYV(remote_->Start());
  return admin_->Start();
}

LockedAppliance::~LockedAppliance() {
  StopServing();
  if (!own_socket_.empty()) ::unlink(own_socket_.c_str());
}

void LockedAppliance::StopServing() {
  if (remote_) remote_->Stop();
  if (admin_) admin_->Stop();
}

std::vector<std::string> LockedAppliance::Reasons() const {
  const std::lock_guard lock(mutex_);
  return {why_.detail + "; give it: skmsctl unlock"};
}

Status LockedAppliance::Unlock(const std::string& label, SecretBytes pin, const keystore::Requester& by) {
  SKMS_TRY(const TokenSection token, FindToken(configuration_, label));
  const std::unique_lock alone(unlocking_, std::try_to_lock);
  if (!alone || unlocked_) return Conflict("it is being unlocked already; see: skmsctl status");
  auto former = pins_->Keep(token.label, std::move(pin));
  auto opened = Open(token.label, by);
  const std::lock_guard lock(mutex_);
  if (opened.has_value()) {
    LogInfo("unlocked by " + by.principal.value() + " with the PIN of token '" + token.label + "'");
    opened_ = std::move(opened).value();
    unlocked_ = true;
    return Ok();
  }
  pins_->Restore(token.label, std::move(former));
  LogWarning(by.principal.value() + " could not unlock it: " + opened.error().Describe());
  ++tries_;
  if (refused_.size() < kMostKept) {
    refused_.push_back({"unlock", by.principal.value(),
                        std::string(Name(opened.error().code)) + " at " + FormatUtc(clock_.NowSeconds()),
                        by.request_id});
  }
  return opened.error();
}

Result<std::unique_ptr<Appliance>> LockedAppliance::Open(const std::string& label,
                                                         const keystore::Requester& by) {
  SKMS_TRY(http::InheritedListeners listeners, inherited_.Duplicate());
  SKMS_TRY(std::unique_ptr<Appliance> opened, Appliance::Open(configuration_, std::move(listeners), pins_));
  for (; recorded_ < refused_.size(); ++recorded_)
    SKMS_TRYV(opened->store().RecordRefusal(refused_[recorded_]));
  if (tries_ > refused_.size()) {
    SKMS_TRYV(opened->store().RecordRefusal(
        {"unlock", "unknown", std::to_string(tries_ - refused_.size()) + " more tries", by.request_id}));
    tries_ = refused_.size();
  }
  SKMS_TRYV(opened->store().RecordUnlock(by, label));
  return opened;
}

std::unique_ptr<Appliance> LockedAppliance::TakeOpened() {
  {
    const std::lock_guard lock(mutex_);
    if (!opened_) return nullptr;
  }
  // The answer to whoever unlocked it goes out first.
  StopServing();
  return std::move(opened_);
}

bool LockedAppliance::healthy() const { return admin_->running() && (!remote_ || remote_->running()); }

}  // namespace skms::appliance
