#include "base/thread_priority.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace skms {
namespace {

int Mine() { return ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())); }

TEST_CASE("a thread stands back for the others of its process, and never comes forward again") {
  const int before = Mine();
  std::thread([before] {
    LowerPriority(ThreadPriority::kRequests);
    CHECK(Mine() == std::max(before, 5));
    LowerPriority(ThreadPriority::kBackground);
    CHECK(Mine() == std::max(before, 10));
    LowerPriority(ThreadPriority::kRequests);
    CHECK(Mine() == std::max(before, 10));
  }).join();
  CHECK(Mine() == before);
}

}  // namespace
}  // namespace skms
