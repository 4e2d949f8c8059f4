#include "tests/fault/counters.h"

namespace skms::fault {
namespace {

/// C_Finalize is how an application ends a wait for a slot's event, so that is no call that it must not
/// interrupt.
bool MayBeInterrupted(Function called) { return called == Function::kC_WaitForSlotEvent; }

}  // namespace

void Counters::Arrived(Function called) {
  if (!MayBeInterrupted(called)) {
    const std::uint64_t before = inside_.fetch_add(1);
    if (called == Function::kC_Finalize && before > 0) finalize_under_call_.fetch_add(1);
    std::uint64_t most = most_inside_.load();
    while (before + 1 > most && !most_inside_.compare_exchange_weak(most, before + 1)) {
    }
  }
  // Last: who sees the call counted can rely on the rest.
  rows_[static_cast<std::size_t>(called)].calls.fetch_add(1);
}

void Counters::Left(Function called) {
  if (!MayBeInterrupted(called)) inside_.fetch_sub(1);
}

void Counters::Refused(Function called) { rows_[static_cast<std::size_t>(called)].refused.fetch_add(1); }

void Counters::Spent(Function called, std::chrono::nanoseconds time) {
  rows_[static_cast<std::size_t>(called)].nanoseconds.fetch_add(time.count());
}

std::string Counters::Describe() const {
  std::string lines;
  for (std::size_t i = 0; i < kFunctionCount; ++i) {
    const Row& row = rows_[i];
    if (row.calls.load() == 0) continue;
    lines += std::string(kFunctions[i].name) + ' ' + std::to_string(row.calls.load()) + ' ' +
             std::to_string(row.refused.load()) + ' ' + std::to_string(row.nanoseconds.load()) + '\n';
  }
  lines += "most-inside: " + std::to_string(most_inside_.load()) + '\n';
  return lines + "finalize-under-call: " + std::to_string(finalize_under_call_.load()) + '\n';
}

}  // namespace skms::fault
