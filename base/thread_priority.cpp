#include "base/thread_priority.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

namespace skms {

void LowerPriority(ThreadPriority priority) {
  // On Linux a priority belongs to the thread, against POSIX.
  const auto thread = static_cast<id_t>(::gettid());
  errno = 0;
  const int present = ::getpriority(PRIO_PROCESS, thread);
  if (errno != 0 || present >= static_cast<int>(priority)) return;
  ::setpriority(PRIO_PROCESS, thread, static_cast<int>(priority));
}

}  // namespace skms
