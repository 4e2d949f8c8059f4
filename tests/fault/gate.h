// Gate: who is inside the real module, and what the application sees of it: away, forgetful, few sessions,
// other slot ids.
//
// Thread-safe. A call enters, is in the real module without any lock, and leaves. Who must be alone with the
// real module (to close sessions behind the application's back) shuts the gate: calls then wait outside.
#pragma once

#include <p11-kit/pkcs11.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "tests/fault/cryptoki_functions.h"

namespace skms::fault {

class Gate {
 public:
  using Clock = std::chrono::steady_clock;

  /// Changes whenever the real module is finalised.
  std::uint64_t life() const;
  /// nullopt: go in, and Leave afterwards. Else the CK_RV to answer with; there is nothing to leave then.
  /// `life` is as it was when the call arrived: one that slept while the real module was finalised must not
  /// go on in its next life, where its handles may be a stranger's.
  std::optional<CK_RV> Enter(Function called, std::uint64_t life);
  void Leave(Function called);

  void Opened(CK_SESSION_HANDLE session, CK_SLOT_ID slot);
  void Closed(CK_SESSION_HANDLE session);
  void ClosedAll(CK_SLOT_ID slot);
  void ClosedEverywhere();
  /// The real module has been finalised.
  void Ended();

  void SendAway(std::chrono::milliseconds time, std::optional<CK_ULONG> slot_shift);
  bool away() const;
  void LimitSessions(std::size_t most);
  void Forget();
  void Remember();
  bool forgotten() const;
  /// What the application's slot ids are above the real ones.
  CK_ULONG slot_shift() const;
  /// The token is back and sessions are unlimited. Lost state stays lost, slot ids stay.
  void Clear();

  /// Alone with the real module, for as long as it lives.
  class Shut {
   public:
    /// Waits for calls inside to come out, at most `patience`.
    Shut(Gate& gate, std::chrono::milliseconds patience);
    Shut(const Shut&) = delete;
    Shut& operator=(const Shut&) = delete;
    ~Shut();
    /// False: some call did not come out; the gate is open.
    bool alone() const { return alone_; }

   private:
    Gate& gate_;
    bool alone_ = false;
  };

 private:
  std::optional<CK_RV> Refusal(Function called, std::uint64_t life) const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool shut_ = false;
  std::size_t inside_ = 0;
  std::uint64_t life_ = 0;
  std::map<CK_SESSION_HANDLE, CK_SLOT_ID> sessions_;
  std::size_t opening_ = 0;
  std::optional<std::size_t> most_sessions_;
  Clock::time_point away_until_{};
  CK_ULONG slot_shift_ = 0;
  bool forgotten_ = false;
};

}  // namespace skms::fault
