#include "keystore/decision.h"

namespace skms::keystore {
namespace {

thread_local Decision* current = nullptr;

}  // namespace

Decision::Decision(std::uint64_t learnt) : learnt_(learnt), former_(current) {
  if (former_ == nullptr) current = this;
}
Decision::~Decision() {
  if (former_ == nullptr) current = nullptr;
}
Decision* Decision::Current() { return current; }

}  // namespace skms::keystore
