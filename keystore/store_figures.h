// What is told of the store to those who watch it: times, counts by state, how far rotation is behind.
//
// Plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/duration_histogram.h"

namespace skms::keystore {

/// Of the database, since it was opened.
struct StoreFigures {
  DurationHistogram::Snapshot reader_wait;  ///< for a connection to read on
  DurationHistogram::Snapshot reads;        ///< on it
  DurationHistogram::Snapshot
      writes;  ///< from the order to the commit that carries it; what waits on purpose is not in it
  DurationHistogram::Snapshot commits;  ///< the transaction alone
  std::uint64_t failed_commits = 0;
  std::size_t readers = 0;
  std::size_t readers_busy = 0;
  std::size_t writes_queued = 0;
};

/// How many versions are in each state of a key's life, in the order of StateRules; kept beside the rows.
using StateCounts = std::vector<std::pair<std::string, std::int64_t>>;

/// What the clock asks of rotation by now.
struct RotationBacklog {
  static constexpr std::int64_t kMost = 10000;  ///< counted no further
  std::int64_t due = 0;                         ///< versions to be made, activated or ended
  std::int64_t late = 0;                        ///< seconds since the first of them was due
};

}  // namespace skms::keystore
