// ReplayGuard: remembers what was asked inside the time window, so that the same request is served once.
//
// An option: KM-UU's dateTime counts whole seconds (TS 33.434 table 5.3.2-1), so an honest client that asks
// twice in one second looks like a replay. Thread-safe; memory is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>

#include "base/digest.h"

namespace skms::seal {

class ReplayGuard {
 public:
  enum class Verdict { kFresh, kSeen, kFull };

  /// Remembers at most `most` requests.
  explicit ReplayGuard(std::size_t most = 100000) : most_(most) {}

  /// Takes note of `request` until `until` (seconds since 1970). kFull: too many are remembered, and this one
  /// is not; the caller refuses for now.
  Verdict Take(const Sha256Digest& request, std::int64_t now, std::int64_t until);
  /// It was not served after all, and may come again.
  void Forget(const Sha256Digest& request);

 private:
  const std::size_t most_;
  std::mutex mutex_;
  std::set<Sha256Digest> seen_;
  std::set<std::pair<std::int64_t, Sha256Digest>> by_end_;
};

}  // namespace skms::seal
