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

void ReplayGuard::Forget(const Sha256Digest& request) {
  const std::lock_guard lock(mutex_);
  if (seen_.erase(request) == 0) return;
  std::erase_if(by_end_, [&](const auto& entry) { return entry.second == request; });
}

}  // namespace skms::seal
