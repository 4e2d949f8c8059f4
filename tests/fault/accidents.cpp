#include "tests/fault/accidents.h"

#include <cstdio>
#include <vector>

namespace skms::fault {
namespace {

constexpr std::chrono::seconds kPatience{10};
constexpr const char* kBusy = "calls are still inside the real module after 10 s; try again";
constexpr const char* kNotInitialised = "the application has not called C_Initialize; try again when it has";

Complaint Failed(const char* function, CK_RV rv) {
  char text[80];
  std::snprintf(text, sizeof text, "look at the real module: its %s returned 0x%lX", function, rv);
  return text;
}

std::vector<CK_SLOT_ID> SlotsWithToken(CK_FUNCTION_LIST* real) {
  CK_ULONG count = 0;
  if (real->C_GetSlotList(CK_TRUE, nullptr, &count) != CKR_OK) return {};
  std::vector<CK_SLOT_ID> slots(count);
  if (real->C_GetSlotList(CK_TRUE, slots.data(), &count) != CKR_OK) return {};
  slots.resize(count);
  return slots;
}

/// The login is per application and token, so any session's C_Logout ends it for all. False: nobody was
/// logged in.
bool LogoutAt(CK_FUNCTION_LIST* real, CK_SLOT_ID slot) {
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  // A blank token beside ours admits no session.
  if (real->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session) != CKR_OK)
    return false;
  CK_SESSION_INFO info{};
  // Asked first, for some modules say CKR_OK to a logout of nobody.
  const bool somebody =
      real->C_GetSessionInfo(session, &info) == CKR_OK && info.state != CKS_RW_PUBLIC_SESSION;
  const bool done = somebody && real->C_Logout(session) == CKR_OK;
  real->C_CloseSession(session);
  return done;
}

}  // namespace

CK_RV Accidents::CloseAll() {
  CK_RV result = CKR_OK;
  for (const CK_SLOT_ID slot : SlotsWithToken(real_)) {
    const CK_RV rv = real_->C_CloseAllSessions(slot);
    if (rv != CKR_OK) result = rv;
  }
  gate_.ClosedEverywhere();
  return result;
}

Complaint Accidents::DropSessions() {
  const Gate::Shut shut(gate_, kPatience);
  if (!shut.alone()) return kBusy;
  if (!initialised_.load()) return kNotInitialised;
  const CK_RV rv = CloseAll();
  if (rv != CKR_OK) return Failed("C_CloseAllSessions", rv);
  return std::nullopt;
}

Complaint Accidents::Logout() {
  const Gate::Shut shut(gate_, kPatience);
  if (!shut.alone()) return kBusy;
  if (!initialised_.load()) return kNotInitialised;
  bool somebody = false;
  for (const CK_SLOT_ID slot : SlotsWithToken(real_)) somebody = LogoutAt(real_, slot) || somebody;
  if (!somebody) return "nobody is logged in; log in first";
  return std::nullopt;
}

Complaint Accidents::SendAway(std::chrono::milliseconds time, std::optional<CK_ULONG> slot_shift) {
  const Gate::Shut shut(gate_, kPatience);
  if (!shut.alone()) return kBusy;
  gate_.SendAway(time, slot_shift);
  if (!initialised_.load()) return std::nullopt;
  const CK_RV rv = CloseAll();
  if (rv != CKR_OK) return Failed("C_CloseAllSessions", rv);
  return std::nullopt;
}

Complaint Accidents::Forget() {
  const Gate::Shut shut(gate_, kPatience);
  if (!shut.alone()) return kBusy;
  if (!initialised_.load()) return kNotInitialised;
  gate_.Forget();
  return std::nullopt;
}

Complaint Accidents::EndForgetting() {
  if (!gate_.forgotten()) return std::nullopt;
  const Gate::Shut shut(gate_, kPatience);
  if (!shut.alone()) return kBusy;
  initialised_.store(false);
  real_->C_Finalize(nullptr);
  gate_.Ended();
  gate_.Remember();
  return std::nullopt;
}

void Accidents::SetInitialised(bool initialised) { initialised_.store(initialised); }

}  // namespace skms::fault
