#include "api/seal/replay_guard.h"

namespace skms::seal {

ReplayGuard::Verdict ReplayGuard::Take(const Sha256Digest& request, std::int64_t now, std::int64_t until) {
  const std::lock_guard lock(mutex_);
  while (!by_end_.empty() && by_end_.begin()->first < now) {
    seen_.erase(by_end_.begin()->second);
    by_end_.erase(by_end_.begin());
  }
  if (seen_.count(request) > 0) return Verdict::kSeen;
  if (seen_.size() >= most_) return Verdict::kFull;
  seen_.insert(request);
  by_end_.emplace(until, request);
  return Verdict::kFresh;
}

}  // namespace skms::seal
