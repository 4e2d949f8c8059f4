// Rules: what has been ordered for the calls of single functions (fail, delay, hang) and which mechanisms are
// hidden.
//
// Thread-safe. Nothing sleeps or calls out under its lock.
#pragma once

#include <p11-kit/pkcs11.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/fault/cryptoki_functions.h"

namespace skms::fault {

struct Rule {
  enum class Kind { kFail, kDelay, kPace, kHang };
  static constexpr std::uint64_t kAlways = std::numeric_limits<std::uint64_t>::max();

  std::string text;  ///< the command that made it
  Kind kind = Kind::kFail;
  std::optional<Function> function;  ///< nullopt: every function that takes a session handle
  CK_RV rv = CKR_OK;                 ///< of kFail
  std::chrono::milliseconds wait{};  ///< of kDelay, kPace and kHang
  std::uint64_t after = 0;           ///< calls that it lets pass first
  std::uint64_t times = kAlways;     ///< calls that it then applies to

  bool Matches(Function called) const;
};

/// What becomes of SENSITIVE in an unwrap template.
enum class Care {
  kHonest,
  kNotAtUnwrap,  ///< ignored there, taken by C_SetAttributeValue
  kNever,        ///< C_SetAttributeValue says CKR_OK and does nothing
};

class Rules {
 public:
  void Add(Rule rule);
  void Hide(CK_MECHANISM_TYPE mechanism);
  bool Hidden(CK_MECHANISM_TYPE mechanism) const;
  void SetCare(Care care) { care_ = care; }
  Care care() const { return care_; }
  /// Ends every rule, shows what was hidden and takes care again; calls that hang go on.
  void Clear();

  /// To be asked once for each call. Sleeps as the rules of `called` say, then tells the CK_RV to answer
  /// with, or nullopt: forward. Of several failures the first that was ordered wins; delays add up.
  std::optional<CK_RV> Pass(Function called);
  /// To be asked when the real module has answered: sleeps until the call has taken as long as paces say.
  void Fill(Function called, std::chrono::steady_clock::time_point begun);

  /// The commands of the rules that are not used up, one a line.
  std::string Describe() const;

 private:
  struct Verdict {
    std::optional<CK_RV> rv;
    std::chrono::milliseconds delay{};
    std::chrono::milliseconds hang{};
    std::uint64_t clears = 0;  ///< seen when the call came: a later one wakes it
  };
  Verdict Judge(Function called);
  /// True when the rule is used up. Of kPace by Fill.
  static bool Apply(Rule& rule, Verdict& verdict);
  void Hang(const Verdict& verdict);

  mutable std::mutex mutex_;
  std::condition_variable cleared_;
  std::uint64_t clears_ = 0;
  std::vector<Rule> rules_;
  std::set<CK_MECHANISM_TYPE> hidden_;
  std::atomic<Care> care_{Care::kHonest};
};

}  // namespace skms::fault
