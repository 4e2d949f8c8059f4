#include "keystore/audit_verifier.h"

#include <algorithm>
#include <utility>

namespace skms::keystore {
namespace {

std::string Entry(std::int64_t seq) { return "entry " + std::to_string(seq); }

bool IsSigned(const Jws& jws, const std::vector<Bytes>& keys) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const Bytes& key) { return VerifyJws(jws, key).has_value(); });
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

Status AuditVerifier::MustReach(std::string_view text) {
  SKMS_TRY(Jws jws, ReadJws(text));
  SKMS_TRY(AuditCheckpoint checkpoint, ReadCheckpoint(jws, text));
  kept_.push_back({"the kept checkpoint", std::move(jws), checkpoint.seq, std::move(checkpoint.hash)});
  return Ok();
}

Status AuditVerifier::MustHoldReceipt(std::string_view text) {
  SKMS_TRY(Jws jws, ReadJws(text));
  SKMS_TRY(DeliveryReceipt receipt, ReadReceipt(jws));
  Kept kept{"the receipt of request " + receipt.request_id, std::move(jws), receipt.entry,
            receipt.entry_hash};
  kept.receipt = std::move(receipt);
  kept_.push_back(std::move(kept));
  return Ok();
}

Status AuditVerifier::CheckReached(std::int64_t seq, const std::string& hash) {
  for (Kept& kept : kept_) {
    if (kept.seq != seq) continue;
    kept.reached = true;
    if (hash != kept.hash)
      return IntegrityError("the chain was made anew: " + Entry(seq) + " is another than the one that " +
                            kept.what + " speaks of");
  }
  return Ok();
}

Status AuditVerifier::Take(const AuditRecord& record) {
  if (!anchored_ && record.seq != 1) {
    return IntegrityError("it begins with " + Entry(record.seq) +
                          ", and no checkpoint of a known key says what was before");
  }
  anchored_ = true;
  if (record.seq > seq_ + 1) {
    return IntegrityError(Entry(record.seq) + " stands where " + Entry(seq_ + 1) +
                          " belongs: entries were dropped or moved");
  }
  if (record.seq <= seq_) {
    return IntegrityError(Entry(record.seq) + " stands after " + Entry(seq_) + ": it was put in or moved");
  }
  if (record.previous != hash_) {
    return IntegrityError(Entry(record.seq) + " does not follow " + Entry(seq_) +
                          ": one of them was changed, dropped or put in");
  }
  if (record.hash != AuditHash(record)) return IntegrityError(Entry(record.seq) + " was changed");
  if (verdict_.first == 0) {
    verdict_.first = record.seq;
    anchor_ = hash_;
  }
  seq_ = record.seq;
  hash_ = record.hash;
  verdict_.last = seq_;
  verdict_.head = hash_;
  if (record.entry.action == kArchiveAction &&
      EndsWith(record.entry.reason, ArchiveReasonEnd(verdict_.first - 1, anchor_)))
    archive_told_ = true;
  SKMS_TRYV(CheckReached(seq_, hash_));
  return CheckReceipts(record);
}

/// The entry that a receipt names is one of that very delivery.
Status AuditVerifier::CheckReceipts(const AuditRecord& record) const {
  const AuditEntry& entry = record.entry;
  for (const Kept& kept : kept_) {
    if (!kept.receipt || kept.seq != record.seq) continue;
    const DeliveryReceipt& receipt = *kept.receipt;
    const std::string kids = " " + receipt.kids + " ";
    const bool same = entry.action == "deliver" && entry.outcome == "granted" &&
                      ReceiptWord(entry.actor) == receipt.subject && entry.request_id == receipt.request_id &&
                      kids.find(" " + ReceiptWord(entry.kid) + " ") != std::string::npos;
    if (!same)
      return IntegrityError(kept.what + " speaks of " + Entry(record.seq) + ", which is of something else");
  }
  return Ok();
}

Status AuditVerifier::Misplaced(const AuditCheckpoint& checkpoint) const {
  if (checkpoint.seq > seq_) {
    return IntegrityError("the token signed " + Entry(checkpoint.seq) + ", and after " + Entry(seq_) +
                          " none follows: the tail was cut, or entries were dropped");
  }
  return IntegrityError("what the token signed as " + Entry(checkpoint.seq) +
                        " is not what stands here: the chain was made anew");
}

Status AuditVerifier::TakeCheckpoint(std::string_view text) {
  const auto jws = ReadJws(text);
  const auto read =
      jws.has_value() ? ReadCheckpoint(jws.value(), text) : Result<AuditCheckpoint>(jws.error());
  if (read.has_error()) return IntegrityError("after " + Entry(seq_) + " stands what " + read.error().detail);
  const AuditCheckpoint& checkpoint = read.value();
  const bool begun = verdict_.first != 0;
  if (!IsSigned(jws.value(), keys_)) {
    ++verdict_.unverified;
    unknown_kid_ = checkpoint.kid;
    unknown_up_to_ = checkpoint.seq;
    if (begun && (checkpoint.seq != seq_ || checkpoint.hash != hash_)) return Misplaced(checkpoint);
    return Ok();
  }
  // Of what was archived there may be several, with the keys' changes among them: the last one counts.
  if (!begun && (!anchored_ || checkpoint.seq > seq_)) {
    anchored_ = true;
    seq_ = checkpoint.seq;
    hash_ = checkpoint.seq == 0 ? kAuditGenesis : checkpoint.hash;
    SKMS_TRYV(CheckReached(seq_, hash_));
  }
  if (checkpoint.seq != seq_ || checkpoint.hash != hash_) return Misplaced(checkpoint);
  ++verdict_.checkpoints;
  verdict_.signed_up_to = checkpoint.seq;
  verdict_.signed_at_ms = std::max(verdict_.signed_at_ms, checkpoint.time_ms);
  if (!checkpoint.next_key.empty()) {
    keys_ = {checkpoint.next_key};
    ever_known_.push_back(checkpoint.next_key);
  }
  return Ok();
}

Status AuditVerifier::CheckKept(const Kept& kept) const {
  if (!IsSigned(kept.jws, ever_known_))
    return IntegrityError(kept.what + " is signed by no key that is given ('" + kept.jws.header.kid + "')");
  if (kept.seq > seq_) {
    return IntegrityError("the tail was cut: " + kept.what + " speaks of " + Entry(kept.seq) +
                          ", and the last one here is " + Entry(seq_));
  }
  if (kept.reached) return Ok();
  return IntegrityError(kept.what + " speaks of " + Entry(kept.seq) +
                        ", which is not here: give the archive that holds it, too");
}

Status AuditVerifier::Finish(Strictness strictness) const {
  for (const Kept& kept : kept_) SKMS_TRYV(CheckKept(kept));
  if (unknown_up_to_ > verdict_.signed_up_to) {
    return IntegrityError("the checkpoint of " + Entry(unknown_up_to_) + " is signed by '" + unknown_kid_ +
                          "', which no key that is given vouches for");
  }
  if (anchored_ && verdict_.first == 0 && seq_ > 0)
    return IntegrityError("no entry follows " + Entry(seq_) + ", which the token signed: the tail was cut");
  if (verdict_.first > 1 && !archive_told_ && !strictness.part) {
    return IntegrityError("what was before " + Entry(verdict_.first) +
                          " is not here, and no entry says that it was archived: give the archive that holds "
                          "it first, or, to look at this part alone, say so (--part)");
  }
  if (verdict_.last > verdict_.signed_up_to && !strictness.unsigned_tail) {
    return IntegrityError("nothing is signed after " + Entry(verdict_.signed_up_to) + ", and " +
                          Entry(verdict_.last) + " is the last: anybody may have written what is between");
  }
  return Ok();
}

}  // namespace skms::keystore
