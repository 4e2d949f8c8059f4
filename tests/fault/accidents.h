// Accidents: what happens to the real module behind the application's back.
//
// Each waits until no call is inside the real module, so that an accident never happens under a call: modules
// crash of that, which is not what is rehearsed. Thread-safe, but for C_Initialize and C_Finalize of the
// application.
#pragma once

#include <p11-kit/pkcs11.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>

#include "tests/fault/gate.h"

namespace skms::fault {

/// nullopt: done. Else what to do about it, as one sentence.
using Complaint = std::optional<std::string>;

class Accidents {
 public:
  Accidents(CK_FUNCTION_LIST* real, Gate& gate) : real_(real), gate_(gate) {}

  /// Closes every session of the application.
  Complaint DropSessions();
  /// Logs out of every token.
  Complaint Logout();
  /// Every token is gone for `time`, then back without the sessions it had, under slot ids that are
  /// `slot_shift` above the real ones (nullopt: as they were). Before C_Initialize, too.
  Complaint SendAway(std::chrono::milliseconds time, std::optional<CK_ULONG> slot_shift);
  /// The library has lost its state until the next C_Initialize.
  Complaint Forget();
  /// Called by C_Initialize: what was forgotten is finalised, so that it is initialised anew.
  Complaint EndForgetting();

  /// C_Initialize has succeeded, and C_Finalize has not since.
  void SetInitialised(bool initialised);

 private:
  CK_RV CloseAll();

  CK_FUNCTION_LIST* const real_;
  Gate& gate_;
  std::atomic<bool> initialised_{false};
};

}  // namespace skms::fault
