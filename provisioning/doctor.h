// doctor: what is wrong with a server and its host, each finding with the command that cures it. Works
// whether the daemon runs or not; asks for no PIN, changes nothing.
//
// One thread. The Judge… functions are pure: they get what was read.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "appliance/config/configuration.h"
#include "base/error.h"
#include "provisioning/command.h"

namespace skms::provisioning {

enum class Verdict { kOk, kWarn, kFail };

struct Finding {
  std::string check;
  Verdict verdict = Verdict::kOk;
  std::string seen;
  std::string cure;                            ///< to be typed; empty where all is well
  ErrorCode code = ErrorCode::kConfiguration;  ///< of a failure: what decides the exit code
};

class Findings {
 public:
  /// `tell` hears of each finding as it is made: a check that takes long keeps none of the others back.
  explicit Findings(std::function<void(const Finding&)> tell = {}) : tell_(std::move(tell)) {}

  void Ok(std::string check, std::string seen) { Add({std::move(check), Verdict::kOk, std::move(seen), ""}); }
  void Warn(std::string check, std::string seen, std::string cure) {
    Add({std::move(check), Verdict::kWarn, std::move(seen), std::move(cure)});
  }
  void Fail(std::string check, std::string seen, std::string cure,
            ErrorCode code = ErrorCode::kConfiguration) {
    Add({std::move(check), Verdict::kFail, std::move(seen), std::move(cure), code});
  }
  void Add(Finding finding) {
    all_.push_back(std::move(finding));
    if (tell_) tell_(all_.back());
  }
  const std::vector<Finding>& all() const { return all_; }

 private:
  std::vector<Finding> all_;
  std::function<void(const Finding&)> tell_;
};

/// What the daemon's state means to the other checks.
struct DaemonSeen {
  bool there = false;  ///< something holds its socket, whether it answers or not
  bool answers = false;
  bool locked = false;
};

/// The cure of what this user may not look at.
inline constexpr const char* kAsRoot = "sudo skmsctl doctor";

// Checks; each adds at least one finding for each thing that it looks at.
void ExamineFiles(const appliance::Configuration& configuration, Findings& found);
void ExamineCertificates(const appliance::Configuration& configuration, std::int64_t now, Findings& found);
DaemonSeen ExamineDaemon(const Session& session, Findings& found);
void ExamineTokens(const Session& session, const appliance::Configuration& configuration,
                   const DaemonSeen& daemon, Findings& found);
void ExamineDatabase(const appliance::Configuration& configuration, const DaemonSeen& daemon, bool thorough,
                     std::int64_t now, Findings& found);
void ExamineEdge(const appliance::Configuration& configuration, const std::string& directory,
                 const std::string& haproxy, const DaemonSeen& daemon, Findings& found);
void ExamineHost(const appliance::Configuration* configuration, Findings& found);

/// `state`, `status`: what adjtimex(2) returns and tells.
void JudgeClock(int state, int status, Findings& found);
/// Of /proc/swaps; `encrypted` says of a device whether what is written to it is.
void JudgeSwap(std::string_view swaps, bool (*encrypted)(const std::string& device), Findings& found);
/// One that ends at `until`.
void JudgeExpiry(const std::string& check, const std::string& what, std::int64_t until, std::int64_t now,
                 std::int64_t warn_before, const std::string& cure, Findings& found);
/// What `systemctl show` says of a unit: LoadState, ActiveState, Result. `needed`: without it nobody is
/// served.
void JudgeUnit(const std::string& unit, bool needed, std::string_view shown, Findings& found);

}  // namespace skms::provisioning
