#include "tests/fault/rules.h"

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <thread>
#include <utility>

namespace skms::fault {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

/// Linux lets a sleep run over by 50 us unless the thread says otherwise.
void BePunctual() {
  static thread_local const int told = ::prctl(PR_SET_TIMERSLACK, 1UL);
  static_cast<void>(told);
}

/// By how much a sleep of this machine ends too late, in the middle: 40 us of a virtual machine's timer are a
/// twenty-fifth of a fast token's call. Found once, at the first order of that kind, which is ordered before
/// there is a load.
steady_clock::duration LateWaking() {
  static const steady_clock::duration found = [] {
    BePunctual();
    constexpr microseconds kNap{200};
    constexpr microseconds kMost{100};  // more is a busy machine's, which no timer makes up for
    std::array<steady_clock::duration, 31> late{};
    for (steady_clock::duration& one : late) {
      const auto end = steady_clock::now() + kNap;
      std::this_thread::sleep_until(end);
      one = steady_clock::now() - end;
    }
    std::nth_element(late.begin(), late.begin() + late.size() / 2, late.end());
    return std::min<steady_clock::duration>(late[late.size() / 2], kMost);
  }();
  return found;
}

/// Never ends early.
void SleepExactlyUntil(steady_clock::time_point end) {
  BePunctual();
  std::this_thread::sleep_until(end - LateWaking());
  while (steady_clock::now() < end) {
  }
}

}  // namespace

bool Rule::Matches(Function called) const {
  return function ? *function == called : RowOf(called).scope == Scope::kSession;
}

void Rules::Add(Rule rule) {
  if (rule.kind == Rule::Kind::kPace || rule.kind == Rule::Kind::kDelay) LateWaking();
  const std::lock_guard lock(mutex_);
  rules_.push_back(std::move(rule));
}

void Rules::Hide(CK_MECHANISM_TYPE mechanism) {
  const std::lock_guard lock(mutex_);
  hidden_.insert(mechanism);
}

bool Rules::Hidden(CK_MECHANISM_TYPE mechanism) const {
  const std::lock_guard lock(mutex_);
  return hidden_.count(mechanism) > 0;
}

void Rules::Clear() {
  {
    const std::lock_guard lock(mutex_);
    rules_.clear();
    hidden_.clear();
    care_ = Care::kHonest;
    ++clears_;
  }
  cleared_.notify_all();
}

std::optional<CK_RV> Rules::Pass(Function called) {
  const Verdict verdict = Judge(called);
  if (verdict.delay.count() > 0) SleepExactlyUntil(std::chrono::steady_clock::now() + verdict.delay);
  if (verdict.hang.count() > 0) Hang(verdict);
  return verdict.rv;
}

Rules::Verdict Rules::Judge(Function called) {
  Verdict verdict;
  const std::lock_guard lock(mutex_);
  verdict.clears = clears_;
  for (auto rule = rules_.begin(); rule != rules_.end();) {
    const bool asked = rule->kind != Rule::Kind::kPace && rule->Matches(called);
    const bool spent = asked && Apply(*rule, verdict);
    rule = spent ? rules_.erase(rule) : rule + 1;
  }
  return verdict;
}

bool Rules::Apply(Rule& rule, Verdict& verdict) {
  if (rule.after > 0) {
    --rule.after;
    return false;
  }
  switch (rule.kind) {
    case Rule::Kind::kFail:
      if (verdict.rv) return false;
      verdict.rv = rule.rv;
      break;
    case Rule::Kind::kDelay:
      verdict.delay += rule.wait;
      break;
    case Rule::Kind::kPace:
      break;
    case Rule::Kind::kHang:
      verdict.hang += rule.wait;
      break;
  }
  return rule.times != Rule::kAlways && --rule.times == 0;
}

void Rules::Fill(Function called, std::chrono::steady_clock::time_point begun) {
  std::chrono::milliseconds pace{};
  {
    const std::lock_guard lock(mutex_);
    for (auto rule = rules_.begin(); rule != rules_.end();) {
      const bool mine = rule->kind == Rule::Kind::kPace && rule->Matches(called);
      if (mine) pace = std::max(pace, rule->wait);
      const bool spent = mine && rule->times != Rule::kAlways && --rule->times == 0;
      rule = spent ? rules_.erase(rule) : rule + 1;
    }
  }
  if (pace.count() > 0) SleepExactlyUntil(begun + pace);
}

void Rules::Hang(const Verdict& verdict) {
  std::unique_lock lock(mutex_);
  cleared_.wait_for(lock, verdict.hang, [&] { return clears_ != verdict.clears; });
}

std::string Rules::Describe() const {
  const std::lock_guard lock(mutex_);
  std::string lines;
  for (const Rule& rule : rules_) lines += rule.text + '\n';
  for (const CK_MECHANISM_TYPE mechanism : hidden_) {
    char line[40];
    std::snprintf(line, sizeof line, "hide 0x%lX\n", mechanism);
    lines += line;
  }
  if (care_ == Care::kNotAtUnwrap) lines += "careless unwrap\n";
  if (care_ == Care::kNever) lines += "careless always\n";
  return lines;
}

}  // namespace skms::fault
