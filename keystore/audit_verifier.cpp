#include "keystore/audit_verifier.h"

#include <algorithm>
#include <utility>

namespace skms::keystore {
namespace {

std::string Entry(std::int64_t seq) { return "entry " + std::to_string(seq); }

}  // namespace

bool AuditVerifier::IsSigned(const Jws& jws) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const Bytes& key) { return VerifyJws(jws, key).has_value(); });
}

Status AuditVerifier::MustReach(std::string_view text) {
  SKMS_TRY(const Jws jws, ReadJws(text));
  SKMS_TRY(AuditCheckpoint checkpoint, ReadCheckpoint(jws, text));
  if (!IsSigned(jws))
    return IntegrityError("the checkpoint that was kept is signed by no key that is given ('" +
                          jws.header.kid + "')");
  must_reach_ = std::move(checkpoint);
  return Ok();
}

Status AuditVerifier::CheckReached(std::int64_t seq, const std::string& hash) const {
  if (!must_reach_ || seq != must_reach_->seq || hash == must_reach_->hash) return Ok();
  return IntegrityError("the chain was made anew: " + Entry(seq) +
                        " is another than the one that the kept checkpoint speaks of");
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
  seq_ = record.seq;
  hash_ = record.hash;
  if (verdict_.first == 0) verdict_.first = seq_;
  verdict_.last = seq_;
  verdict_.head = hash_;
  return CheckReached(seq_, hash_);
}

Status AuditVerifier::TakeCheckpoint(std::string_view text) {
  const auto jws = ReadJws(text);
  const auto read = jws.has_value() ? ReadCheckpoint(jws.value(), text) : jws.error();
  if (read.has_error()) return IntegrityError("after " + Entry(seq_) + " stands what " + read.error().detail);
  const AuditCheckpoint& checkpoint = read.value();
  if (!IsSigned(jws.value())) {
    ++verdict_.unverified;
    unknown_kid_ = checkpoint.kid;
    unknown_up_to_ = checkpoint.seq;
    return Ok();
  }
  if (!anchored_) {
    anchored_ = true;
    seq_ = checkpoint.seq;
    hash_ = checkpoint.seq == 0 ? kAuditGenesis : checkpoint.hash;
    SKMS_TRYV(CheckReached(seq_, hash_));
  }
  if (checkpoint.seq > seq_) {
    return IntegrityError("the token signed " + Entry(checkpoint.seq) + ", and after " + Entry(seq_) +
                          " none follows: the tail was cut, or entries were dropped");
  }
  if (checkpoint.seq != seq_ || checkpoint.hash != hash_) {
    return IntegrityError("what the token signed as " + Entry(checkpoint.seq) +
                          " is not what stands here: the chain was made anew");
  }
  ++verdict_.checkpoints;
  verdict_.signed_up_to = checkpoint.seq;
  verdict_.signed_at_ms = checkpoint.time_ms;
  if (!checkpoint.next_key.empty() &&
      std::find(keys_.begin(), keys_.end(), checkpoint.next_key) == keys_.end())
    keys_.push_back(checkpoint.next_key);
  return Ok();
}

Status AuditVerifier::Finish() const {
  if (must_reach_ && must_reach_->seq > seq_) {
    return IntegrityError("the tail was cut: the kept checkpoint speaks of " + Entry(must_reach_->seq) +
                          ", and the last one here is " + Entry(seq_));
  }
  if (unknown_up_to_ > verdict_.signed_up_to) {
    return IntegrityError("the checkpoint of " + Entry(unknown_up_to_) + " is signed by '" + unknown_kid_ +
                          "', which no key that is given vouches for");
  }
  return Ok();
}

}  // namespace skms::keystore
