#include "appliance/process_hardening.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>

#include "base/core_dumps.h"

namespace skms::appliance {

Status HardenProcess() {
  SKMS_TRYV(ForbidCoreDumps());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return IoError("prctl(PR_SET_NO_NEW_PRIVS)", errno);
  ::umask(0077);
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return IoError("signal(SIGPIPE)", errno);
  // A file size limit must fail the write, as a full disk does, and not end the process.
  if (std::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return IoError("signal(SIGXFSZ)", errno);
  return Ok();
}

namespace {

/// Whether this process may lock more than `limit` octets: with CAP_IPC_LOCK. Asked of the kernel by doing
/// it, since a capability within a user namespace does not count. Nothing is touched, so that it costs
/// address space for a moment.
bool MayExceed(rlim_t limit) {
  const std::size_t size =
      static_cast<std::size_t>(limit) + static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* range = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return false;
  const bool may = ::mlock2(range, size, MLOCK_ONFAULT) == 0;
  ::munmap(range, size);
  return may;
}

}  // namespace

Status LockMemory() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return IoError("getrlimit(RLIMIT_MEMLOCK)", errno);
  const rlimit lifted{limit.rlim_max, limit.rlim_max};
  if (::setrlimit(RLIMIT_MEMLOCK, &lifted) != 0) return IoError("setrlimit(RLIMIT_MEMLOCK)", errno);
  if (limit.rlim_max != RLIM_INFINITY && !MayExceed(limit.rlim_max)) {
    return ConfigurationError("the limit of locked memory is " + std::to_string(limit.rlim_max / 1024) +
                              " KiB, and none is needed (LimitMEMLOCK=infinity in the unit, or ulimit -l "
                              "unlimited)");
  }
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) return IoError("mlockall", errno);
  return Ok();
}

}  // namespace skms::appliance
