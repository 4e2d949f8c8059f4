// StoreMeter: what the database's reads and writes cost, in counters.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/duration_histogram.h"
#include "keystore/store_figures.h"

namespace skms::keystore {

struct StoreMeter {
  DurationHistogram reader_wait;
  DurationHistogram reads;
  DurationHistogram writes;
  DurationHistogram commits;
  std::atomic<std::uint64_t> failed_commits{0};

  /// All but what the database itself has to say.
  StoreFigures Read() const {
    StoreFigures now;
    now.reader_wait = reader_wait.Read();
    now.reads = reads.Read();
    now.writes = writes.Read();
    now.commits = commits.Read();
    now.failed_commits = failed_commits.load(std::memory_order_relaxed);
    return now;
  }
};

}  // namespace skms::keystore
