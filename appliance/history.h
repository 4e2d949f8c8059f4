// History: what a day was like, minute by minute, for the status page: kept in memory, 1440 minutes of it,
// and gone with the process. For longer there is Prometheus.
//
// A thread of its own; thread-safe. `read` is called from it and from Minutes, and must live as long.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "api/admin/status_page.h"
#include "base/clock.h"

namespace skms::appliance {

/// Counted since the start of the process; what a token counts may begin anew.
struct HistoryTotals {
  std::uint64_t delivered = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::uint64_t token_calls = 0;
  double token_seconds = 0;
  std::vector<std::int64_t> keys{};  ///< in each state as they are now; empty: could not be read
};

class History {
 public:
  static constexpr std::size_t kMost = 1440;

  History(std::function<HistoryTotals()> read, const Clock& clock);
  History(const History&) = delete;
  History& operator=(const History&) = delete;
  ~History();

  void Start();
  void Stop();
  /// The oldest first; the last one is not over yet.
  std::vector<admin::PageMinute> Minutes() const;

 private:
  void Loop();
  admin::PageMinute Since(const HistoryTotals& before, const HistoryTotals& now) const;

  const std::function<HistoryTotals()> read_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<admin::PageMinute> minutes_;
  HistoryTotals begun_;  ///< when the present minute began
  std::int64_t begun_at_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace skms::appliance
