#include "tests/fault/gate.h"

namespace skms::fault {
namespace {

/// These two are nobody's guests: they begin and end the real module, and may run while a call hangs in it;
/// and the third waits in it for as long as nothing happens.
bool PassesBy(Function called) {
  return called == Function::kC_Initialize || called == Function::kC_Finalize ||
         called == Function::kC_WaitForSlotEvent;
}

}  // namespace

std::uint64_t Gate::life() const {
  const std::lock_guard lock(mutex_);
  return life_;
}

std::optional<CK_RV> Gate::Enter(Function called, std::uint64_t life) {
  std::unique_lock lock(mutex_);
  if (!PassesBy(called)) changed_.wait(lock, [this] { return !shut_; });
  if (const auto refusal = Refusal(called, life)) return refusal;
  if (called == Function::kC_OpenSession) ++opening_;
  if (!PassesBy(called)) ++inside_;
  return std::nullopt;
}

std::optional<CK_RV> Gate::Refusal(Function called, std::uint64_t life) const {
  if ((forgotten_ || life != life_) && called != Function::kC_Initialize) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (Clock::now() < away_until_) {
    if (RowOf(called).scope == Scope::kSession) return CKR_DEVICE_REMOVED;
    if (RowOf(called).scope == Scope::kSlot && called != Function::kC_GetSlotInfo)
      return CKR_TOKEN_NOT_PRESENT;
  }
  if (called == Function::kC_OpenSession && most_sessions_ && sessions_.size() + opening_ >= *most_sessions_)
    return CKR_SESSION_COUNT;
  return std::nullopt;
}

void Gate::Leave(Function called) {
  {
    const std::lock_guard lock(mutex_);
    if (called == Function::kC_OpenSession) --opening_;
    if (PassesBy(called)) return;
    --inside_;
    if (!shut_) return;
  }
  changed_.notify_all();
}

void Gate::Opened(CK_SESSION_HANDLE session, CK_SLOT_ID slot) {
  const std::lock_guard lock(mutex_);
  sessions_[session] = slot;
}

void Gate::Closed(CK_SESSION_HANDLE session) {
  const std::lock_guard lock(mutex_);
  sessions_.erase(session);
}

void Gate::ClosedAll(CK_SLOT_ID slot) {
  const std::lock_guard lock(mutex_);
  std::erase_if(sessions_, [slot](const auto& session) { return session.second == slot; });
}

void Gate::ClosedEverywhere() {
  const std::lock_guard lock(mutex_);
  sessions_.clear();
}

void Gate::Ended() {
  const std::lock_guard lock(mutex_);
  sessions_.clear();
  ++life_;
}

void Gate::SendAway(std::chrono::milliseconds time, std::optional<CK_ULONG> slot_shift) {
  const std::lock_guard lock(mutex_);
  away_until_ = Clock::now() + time;
  if (slot_shift) slot_shift_ = *slot_shift;
}

bool Gate::away() const {
  const std::lock_guard lock(mutex_);
  return Clock::now() < away_until_;
}

void Gate::LimitSessions(std::size_t most) {
  const std::lock_guard lock(mutex_);
  most_sessions_ = most;
}

void Gate::Forget() {
  const std::lock_guard lock(mutex_);
  forgotten_ = true;
}

void Gate::Remember() {
  const std::lock_guard lock(mutex_);
  forgotten_ = false;
}

bool Gate::forgotten() const {
  const std::lock_guard lock(mutex_);
  return forgotten_;
}

CK_ULONG Gate::slot_shift() const {
  const std::lock_guard lock(mutex_);
  return slot_shift_;
}

void Gate::Clear() {
  const std::lock_guard lock(mutex_);
  away_until_ = {};
  most_sessions_.reset();
}

Gate::Shut::Shut(Gate& gate, std::chrono::milliseconds patience) : gate_(gate) {
  std::unique_lock lock(gate_.mutex_);
  if (!gate_.changed_.wait_for(lock, patience, [this] { return !gate_.shut_; })) return;
  gate_.shut_ = true;
  alone_ = gate_.changed_.wait_for(lock, patience, [this] { return gate_.inside_ == 0; });
  if (alone_) return;
  gate_.shut_ = false;
  lock.unlock();
  gate_.changed_.notify_all();
}

Gate::Shut::~Shut() {
  if (!alone_) return;
  {
    const std::lock_guard lock(gate_.mutex_);
    gate_.shut_ = false;
  }
  gate_.changed_.notify_all();
}

}  // namespace skms::fault
