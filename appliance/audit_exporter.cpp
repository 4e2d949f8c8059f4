#include "appliance/audit_exporter.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/thread_priority.h"
#include "keystore/audit_json.h"

namespace skms::appliance {
namespace {

using keystore::AuditCheckpoint;
using keystore::AuditRecord;
using std::chrono::seconds;
using std::chrono::steady_clock;
using Lock = std::unique_lock<std::mutex>;

constexpr seconds kLook{1};
constexpr seconds kLate{60};
constexpr std::uint32_t kPage = 500;

AuditLine LineOf(const AuditRecord& record) {
  return {record.seq,
          record.hash,
          record.time_ms,
          false,
          record.entry.outcome == "refused",
          keystore::AuditLine(keystore::AuditRecordJson(record))};
}

AuditLine LineOf(const AuditCheckpoint& checkpoint) {
  return {checkpoint.seq, checkpoint.hash, checkpoint.time_ms,
          true,           false,           keystore::AuditLine(keystore::AuditCheckpointJson(checkpoint))};
}

/// What follows entry `after`, up to `up_to`; checkpoints after the entry that they speak of.
std::vector<AuditLine> LinesOf(const keystore::AuditPage& page, std::int64_t after, std::int64_t up_to) {
  std::vector<AuditLine> lines;
  lines.reserve(page.entries.size() + page.checkpoints.size());
  for (const AuditRecord& record : page.entries)
    if (record.seq <= up_to) lines.push_back(LineOf(record));
  for (const AuditCheckpoint& checkpoint : page.checkpoints)
    if (checkpoint.seq > after && checkpoint.seq <= up_to) lines.push_back(LineOf(checkpoint));
  std::stable_sort(lines.begin(), lines.end(), [](const AuditLine& a, const AuditLine& b) {
    return a.seq != b.seq ? a.seq < b.seq : !a.checkpoint && b.checkpoint;
  });
  return lines;
}

}  // namespace

AuditExporter::AuditExporter(keystore::KeyStore& store, const AuditSection& options,
                             std::unique_ptr<AuditSink> sink)
    : store_(store), options_(options), sink_(std::move(sink)) {}

AuditExporter::~AuditExporter() { Stop(); }

Status AuditExporter::Start() {
  if (!sink_) return Ok();
  store_.KeepUntilExported();
  SKMS_TRY(const std::int64_t exported, store_.ExportedAudit());
  {
    const Lock lock(mutex_);
    report_.on = true;
    report_.exported = exported;
    went_well_ = steady_clock::now();
  }
  SKMS_TRYV(Measure());
  thread_ = std::thread([this] { Loop(); });
  return Ok();
}

void AuditExporter::Stop() {
  {
    const Lock lock(mutex_);
    if (stop_) return;
    stop_ = true;
  }
  wake_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  Told(Send());
}

admin::AuditExportReport AuditExporter::report() const {
  const Lock lock(mutex_);
  return report_;
}

void AuditExporter::Loop() {
  LowerPriority(ThreadPriority::kBackground);
  for (;;) {
    Told(Send());
    Lock lock(mutex_);
    if (wake_.wait_for(lock, kLook, [this] { return stop_; })) return;
  }
}

/// A file knows better than the database how far it has come, and the chain whether it is the one that went
/// there.
Status AuditExporter::FindPosition() {
  if (placed_) return Ok();
  SKMS_TRY(const AuditPosition last, sink_->Last());
  if (last.seq > 0) {
    SKMS_TRY(const keystore::AuditPage page, store_.ReadAudit(last.seq - 1, 1));
    const bool archived = !page.entries.empty() && page.entries.front().seq > last.seq;
    const bool same = !page.entries.empty() && page.entries.front().hash == last.hash;
    if (!same && !archived) {
      return IntegrityError(
          "what was exported ends with entry " + std::to_string(last.seq) +
          ", which is not in this chain: the database was put back or is another one; look into it, then "
          "move the file away");
    }
    const Lock lock(mutex_);
    report_.exported = last.seq;
  }
  placed_ = true;
  return Ok();
}

Status AuditExporter::SendPage(std::int64_t up_to) {
  const std::int64_t after = report().exported;
  SKMS_TRY(const keystore::AuditPage page, store_.ReadAudit(after, kPage));
  const std::vector<AuditLine> lines = LinesOf(page, after, up_to);
  SKMS_TRYV(sink_->Deliver(lines));
  const std::int64_t gone = lines.empty() ? up_to : lines.back().seq;
  SKMS_TRYV(store_.SetExportedAudit(gone));
  const Lock lock(mutex_);
  report_.exported = gone;
  return Ok();
}

Status AuditExporter::Send() {
  SKMS_TRYV(FindPosition());
  SKMS_TRY(const auto checkpoint, store_.LastCheckpoint());
  const std::int64_t up_to = checkpoint ? checkpoint->seq : 0;
  while (report().exported < up_to) {
    SKMS_TRYV(SendPage(up_to));
    SKMS_TRYV(Measure());
    const Lock lock(mutex_);
    went_well_ = steady_clock::now();
  }
  return Measure();
}

Status AuditExporter::Measure() {
  SKMS_TRY(const keystore::AuditSummary head, store_.Audit());
  std::string refuse;
  {
    const Lock lock(mutex_);
    report_.behind = std::max<std::int64_t>(0, head.entries - report_.exported);
    const bool shut = report_.behind >= options_.export_most_behind;
    if (shut != report_.shut) {
      if (shut) {
        LogCritical("the export of the audit chain is " + std::to_string(report_.behind) +
                    " entries behind: every request is refused until it has caught up");
      } else {
        LogInfo("the export of the audit chain has caught up: requests are served again");
      }
    }
    report_.shut = shut;
    if (shut) {
      refuse = "the export of the audit chain is " + std::to_string(report_.behind) +
               " entries behind (audit.export_most_behind): nothing is decided until it has caught up";
    }
  }
  store_.RefuseDecisions(std::move(refuse));
  return Ok();
}

void AuditExporter::Told(const Status& outcome) {
  if (!sink_) return;
  const Status measured = outcome.has_error() ? Measure() : Ok();
  if (outcome.has_error() && tells_.Now())
    LogWarning("the audit chain is not exported: " + outcome.error().Describe());
  if (measured.has_error() && tells_.Now())
    LogWarning("the audit chain is not measured: " + measured.error().Describe());
  const Lock lock(mutex_);
  if (outcome.has_value()) went_well_ = steady_clock::now();
  report_.trouble = outcome.has_error() ? outcome.error().Describe() : std::string();
  report_.late = report_.behind >= options_.export_most_behind / 2 ||
                 (outcome.has_error() && (outcome.error().code == ErrorCode::kIntegrity ||
                                          steady_clock::now() - went_well_ >= kLate));
}

}  // namespace skms::appliance
