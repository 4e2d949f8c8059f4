// History: what a day was like, minute by minute, for the status page: kept in memory, 1440 minutes of it,
// and gone with the process. For longer there is Prometheus.
//
// A thread of its own, from Start to Stop; thread-safe. `read` is called from it and from Minutes, and must
// live as long.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "api/admin/status_page.h"
#include "base/clock.h"

namespace skms::appliance {

/// Counted since the start of the process; what a token counts begins anew when it is opened again.
struct HistoryTotals {
  struct Calls {
    std::uint64_t count = 0;
    double seconds = 0;
  };
  std::uint64_t delivered = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::map<std::string, Calls> tokens{};  ///< by label
  std::vector<std::int64_t> keys{};       ///< in each state as they are now; empty: could not be read
};

/// Between two looks. What has fallen was counted anew, and all of it is of this time.
admin::PageMinute Between(const HistoryTotals& before, const HistoryTotals& now, std::int64_t begun);

class History {
 public:
  static constexpr std::size_t kMost = 1440;

  History(std::function<HistoryTotals()> read, const Clock& clock);
  History(const History&) = delete;
  History& operator=(const History&) = delete;
  ~History();

  void Start();
  void Stop();
  /// Ends the present minute; the thread does so each minute.
  void Turn();
  /// The oldest first; the last one is not over yet. None before Start.
  std::vector<admin::PageMinute> Minutes() const;

 private:
  void Loop();

  const std::function<HistoryTotals()> read_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<admin::PageMinute> minutes_;
  HistoryTotals begun_;  ///< when the present minute began
  std::int64_t begun_at_ = 0;
  bool started_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace skms::appliance
