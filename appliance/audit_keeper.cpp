#include "appliance/audit_keeper.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/thread_priority.h"
#include "keystore/approvals.h"

namespace skms::appliance {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kInterval{1};
constexpr seconds kBetweenApprovals{15};
// Short enough that requests do not notice the writer at it.
constexpr std::uint32_t kDeletedAtOnce = 500;
constexpr std::chrono::milliseconds kBetweenDeletions{20};
constexpr std::int64_t kMebibyte = 1048576;

}  // namespace

AuditKeeper::AuditKeeper(keystore::KeyStore& store, const AuditSection& options, std::string database)
    : store_(store), options_(options), database_(std::move(database)) {}

AuditKeeper::~AuditKeeper() { Stop(); }

void AuditKeeper::Start() {
  LookAtDisk();
  looked_ = steady_clock::now();
  ReadLast();
  thread_ = std::thread([this] { Loop(); });
}

/// What a former process had signed.
void AuditKeeper::ReadLast() {
  const auto last = store_.LastCheckpoint();
  if (last.has_error()) return Trouble(last.error());
  if (!last.value()) return;
  const Lock lock(mutex_);
  report_.signed_up_to = last.value()->seq;
  report_.signed_at_ms = last.value()->time_ms;
  report_.trouble.clear();
  report_.late = false;
}

void AuditKeeper::Stop() {
  {
    const Lock lock(mutex_);
    if (stop_) return;
    stop_ = true;
  }
  wake_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  if (store_.leads()) Sign();
}

admin::AuditReport AuditKeeper::report() const {
  const Lock lock(mutex_);
  return report_;
}

void AuditKeeper::Loop() {
  LowerPriority(ThreadPriority::kBackground);
  for (;;) {
    if (!store_.leads()) {
      ReadLast();
    } else if (IsDue()) {
      Sign();
    }
    LookAtDisk();
    DeleteArchived();
    if (store_.leads()) EndApprovals();
    Lock lock(mutex_);
    if (wake_.wait_for(lock, kInterval, [this] { return stop_; })) return;
  }
}

void AuditKeeper::EndApprovals() {
  const auto now = steady_clock::now();
  if (now < approvals_at_) return;
  approvals_at_ = now + kBetweenApprovals;
  if (const Status ended = store_.approvals().EndExpired(); ended.has_error() && approvals_tell_.Now())
    LogWarning("requests for approval that have run out are not ended: " + ended.error().Describe());
}

void AuditKeeper::Trouble(const Error& error) {
  const bool changed = error.code == ErrorCode::kIntegrity;
  if (tells_.Now()) {
    const std::string text = "the audit chain is not signed: " + error.Describe();
    if (changed) {
      LogCritical(text);
    } else {
      LogWarning(text);
    }
  }
  const Lock lock(mutex_);
  report_.trouble = error.Describe();
  report_.late = report_.late || changed;
}

bool AuditKeeper::IsDue() {
  const auto head = store_.Audit();
  if (head.has_error()) {
    Trouble(head.error());
    return false;
  }
  const auto since = steady_clock::now() - looked_;
  const Lock lock(mutex_);
  const std::int64_t unsigned_entries = head.value().entries - report_.signed_up_to;
  report_.late = report_.late || (unsigned_entries > 0 && since > seconds(10 * options_.checkpoint_s));
  // Also where nothing seems to be new, so that what was changed meanwhile is found.
  return unsigned_entries >= options_.checkpoint_entries || since >= seconds(options_.checkpoint_s);
}

void AuditKeeper::Sign() {
  const auto made = store_.SignAudit();
  if (made.has_error()) return Trouble(made.error());
  const auto last = store_.LastCheckpoint();
  if (last.has_error()) return Trouble(last.error());
  looked_ = steady_clock::now();
  const Lock lock(mutex_);
  report_.checked = true;
  report_.signed_up_to = last.value() ? last.value()->seq : 0;
  report_.signed_at_ms = last.value() ? last.value()->time_ms : 0;
  report_.trouble.clear();
  report_.late = false;
}

void AuditKeeper::LookAtDisk() {
  std::error_code error;
  const auto space = std::filesystem::space(std::filesystem::absolute(database_, error).parent_path(), error);
  if (error) return;
  const auto free = static_cast<std::int64_t>(space.available) / kMebibyte;
  const bool low = free < options_.warn_free_mib;
  const Lock lock(mutex_);
  if (low && !report_.disk_low)
    LogWarning("the disk of " + database_ + " has " + std::to_string(free) +
               " MiB left; when it is full, every request is refused, for none could be recorded");
  report_.disk_low = low;
  report_.free_mib = free;
}

void AuditKeeper::BeginDeleting() {
  const Lock lock(mutex_);
  deleting_ = true;
}

void AuditKeeper::DeleteArchived() {
  {
    const Lock lock(mutex_);
    if (!deleting_) return;
    deleting_ = false;
  }
  for (;;) {
    const auto deleted = store_.DeleteArchivedAudit(kDeletedAtOnce);
    if (deleted.has_value() && deleted.value() == 0) return;
    Lock lock(mutex_);
    if (deleted.has_error()) deleting_ = true;
    if (deleted.has_error() || wake_.wait_for(lock, kBetweenDeletions, [this] { return stop_; })) return;
  }
}

}  // namespace skms::appliance
