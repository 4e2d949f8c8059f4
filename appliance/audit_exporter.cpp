#include "appliance/audit_exporter.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "api/admin/audit_json.h"
#include "base/log.h"
#include "base/thread_priority.h"

namespace skms::appliance {
namespace {

using keystore::AuditCheckpoint;
using keystore::AuditExported;
using keystore::AuditPage;
using keystore::AuditRecord;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kLook{1};
constexpr seconds kLate{60};
constexpr seconds kAtTheEnd{5};
constexpr std::uint32_t kPage = 500;

AuditLine LineOf(const AuditRecord& record) {
  return {record.seq,
          record.hash,
          record.time_ms,
          false,
          record.entry.outcome == "refused",
          admin::AuditLineOf(record)};
}

AuditLine LineOf(const AuditCheckpoint& checkpoint) {
  return {checkpoint.seq, checkpoint.hash, checkpoint.time_ms, true, false, admin::AuditLineOf(checkpoint)};
}

/// Part of a page, in the order in which it goes.
struct Batch {
  std::vector<AuditLine> lines;
  AuditExported end;
};

/// What follows `from`, up to `up_to`. `anew`: checkpoints of the entry before say again what that was.
Batch BatchOf(const AuditPage& page, const AuditExported& from, std::int64_t up_to, bool anew) {
  Batch batch{{}, from};
  batch.lines.reserve(page.entries.size() + page.checkpoints.size());
  for (const AuditRecord& record : page.entries) {
    if (record.seq > up_to) break;
    batch.lines.push_back(LineOf(record));
    batch.end = {record.seq, 0};
  }
  for (const AuditCheckpoint& checkpoint : page.checkpoints) {
    const bool later = checkpoint.seq > from.seq && checkpoint.seq <= up_to;
    const bool of_the_last = checkpoint.seq == from.seq && (anew || checkpoint.number > from.checkpoint);
    if (!later && !of_the_last) continue;
    batch.lines.push_back(LineOf(checkpoint));
    // What was archived before it went is passed over; its checkpoint speaks for it.
    if (checkpoint.seq > batch.end.seq) batch.end = {checkpoint.seq, 0};
    if (checkpoint.seq == batch.end.seq)
      batch.end.checkpoint = std::max(batch.end.checkpoint, checkpoint.number);
  }
  std::stable_sort(batch.lines.begin(), batch.lines.end(), [](const AuditLine& a, const AuditLine& b) {
    return a.seq != b.seq ? a.seq < b.seq : !a.checkpoint && b.checkpoint;
  });
  return batch;
}

bool Before(const AuditExported& a, std::int64_t seq, std::int64_t checkpoint) {
  return a.seq < seq || (a.seq == seq && a.checkpoint < checkpoint);
}

}  // namespace

AuditExporter::AuditExporter(keystore::KeyStore& store, const AuditSection& options,
                             std::unique_ptr<AuditSink> sink)
    : store_(store), options_(options), sink_(std::move(sink)) {}

AuditExporter::~AuditExporter() { Stop(); }

Status AuditExporter::Start() {
  if (!sink_) return Ok();
  store_.KeepUntilExported();
  auto exported = store_.ExportedAudit();
  if (exported.has_error()) {
    if (exported.error().code != ErrorCode::kIntegrity) return std::move(exported).error();
    LogCritical(exported.error().detail + "; all of it is sent again");
    exported = AuditExported{};
  }
  {
    const Lock lock(mutex_);
    position_ = exported.value();
    went_well_ = steady_clock::now();
  }
  SKMS_TRYV(Measure());
  sender_ = std::thread([this] { SendLoop(); });
  watcher_ = std::thread([this] { WatchLoop(); });
  return Ok();
}

void AuditExporter::Stop() {
  {
    const Lock lock(mutex_);
    if (stop_) return;
    stop_ = true;
    give_up_ = steady_clock::now() + kAtTheEnd;
  }
  wake_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  if (!sender_.joinable()) return;
  sender_.join();
  if (store_.leads()) Told(Send());
}

AuditExported AuditExporter::position() const {
  const Lock lock(mutex_);
  return position_;
}

bool AuditExporter::IsOver() const {
  const Lock lock(mutex_);
  return stop_ && steady_clock::now() >= give_up_;
}

admin::AuditExportReport AuditExporter::report() const {
  admin::AuditExportReport report;
  const Lock lock(mutex_);
  report.on = sink_ != nullptr;
  report.exported = position_.seq;
  report.behind = Behind();
  report.shut = shut_;
  const auto stands_still = steady_clock::now() - went_well_;
  const bool late = report.on && stands_still >= kLate;
  if (last_try_.has_error()) {
    report.trouble = last_try_.error().Describe();
  } else if (late) {
    report.trouble = "nothing was taken for " +
                     std::to_string(std::chrono::duration_cast<seconds>(stands_still).count()) + " s";
  }
  const bool wrong = last_try_.has_error() && last_try_.error().code == ErrorCode::kIntegrity;
  report.late = late || wrong || report.behind >= options_.export_most_behind / 2;
  return report;
}

void AuditExporter::SendLoop() {
  LowerPriority(ThreadPriority::kBackground);
  for (;;) {
    if (store_.leads()) {
      Told(Send());
    } else {
      StandBy();
    }
    Lock lock(mutex_);
    if (wake_.wait_for(lock, kLook, [this] { return stop_; })) return;
  }
}

void AuditExporter::WatchLoop() {
  for (;;) {
    if (const Status measured = Measure(); measured.has_error() && tells_.Now())
      LogWarning("how far the export of the audit chain is cannot be seen: " + measured.error().Describe());
    Lock lock(mutex_);
    if (wake_.wait_for(lock, kLook, [this] { return stop_; })) return;
  }
}

/// Another server sends. How far it is stands in the database.
void AuditExporter::StandBy() {
  const auto exported = store_.ExportedAudit();
  if (exported.has_error()) return Told(exported.error());
  placed_ = false;
  const Lock lock(mutex_);
  position_ = exported.value();
  last_try_ = Ok();
  went_well_ = steady_clock::now();
}

/// A file knows better than the database how far it has come, and the chain whether it is the one that went
/// there.
Status AuditExporter::FindPosition() {
  if (placed_) return Ok();
  SKMS_TRY(const keystore::AuditSummary head, store_.Audit());
  if (const std::int64_t gone = position().seq; gone > head.entries) {
    return IntegrityError("entry " + std::to_string(gone) + " was exported, and the chain ends with entry " +
                          std::to_string(head.entries) + ": its end is gone");
  }
  SKMS_TRY(const AuditPosition last, sink_->Last());
  if (last.seq > 0) {
    SKMS_TRY(const AuditPage page, store_.ReadAudit(last.seq - 1, 1));
    const bool archived = !page.entries.empty() && page.entries.front().seq > last.seq;
    const bool same = !page.entries.empty() && page.entries.front().hash == last.hash;
    if (!same && !archived) {
      return IntegrityError(
          "what was exported ends with entry " + std::to_string(last.seq) +
          ", which is not in this chain: the database was put back or is another one; look into "
          "it, then move the file away");
    }
    AuditExported found{last.seq, 0};
    for (const AuditCheckpoint& checkpoint : page.checkpoints)
      if (checkpoint.jws == last.checkpoint) found.checkpoint = checkpoint.number;
    const Lock lock(mutex_);
    // What another server has sent since is in that one's file.
    if (!store_.is_shared() || Before(position_, found.seq, found.checkpoint)) position_ = found;
  }
  placed_ = true;
  return Ok();
}

Result<bool> AuditExporter::SendPage(const AuditCheckpoint& last) {
  const AuditExported from = position();
  SKMS_TRY(const bool anew, sink_->BeginsAnew());
  SKMS_TRY(const AuditPage page, store_.ReadAudit(from.seq, kPage));
  const Batch batch = BatchOf(page, from, last.seq, anew);
  if (!Before(from, batch.end.seq, batch.end.checkpoint)) return false;
  SKMS_TRYV(sink_->Deliver(batch.lines));
  SKMS_TRYV(store_.SetExportedAudit(batch.end));
  const Lock lock(mutex_);
  position_ = batch.end;
  went_well_ = steady_clock::now();
  return true;
}

Status AuditExporter::Send() {
  SKMS_TRYV(FindPosition());
  SKMS_TRY(const auto last, store_.LastCheckpoint());
  if (!last) return Ok();
  while (!IsOver() && store_.leads() && Before(position(), last->seq, last->number)) {
    SKMS_TRY(const bool more, SendPage(*last));
    if (!more) break;
  }
  return Ok();
}

Status AuditExporter::Measure() {
  SKMS_TRY(const keystore::AuditSummary head, store_.Audit());
  const Lock lock(mutex_);
  head_ = head.entries;
  const bool shut = Behind() >= options_.export_most_behind;
  if (shut == shut_) return Ok();
  shut_ = shut;
  if (shut) {
    const std::string why =
        "the export of the audit chain is " + std::to_string(Behind()) +
        " entries behind (audit.export_most_behind): nothing is decided until it has caught up";
    LogCritical(why);
    store_.RefuseDecisions(why);
  } else {
    LogInfo("the export of the audit chain has caught up: requests are served again");
    store_.RefuseDecisions("");
  }
  return Ok();
}

void AuditExporter::Told(const Status& outcome) {
  if (!sink_) return;
  if (outcome.has_error()) {
    placed_ = false;  // what it has taken of it is seen anew
    if (tells_.Now()) LogWarning("the audit chain is not exported: " + outcome.error().Describe());
  }
  const Lock lock(mutex_);
  last_try_ = outcome.has_error() ? Status(outcome.error()) : Ok();
  if (outcome.has_value()) went_well_ = steady_clock::now();
}

}  // namespace skms::appliance
