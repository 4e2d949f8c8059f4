#include "appliance/process_hardening.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>

namespace skms::appliance {

Status HardenProcess() {
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) return IoError("setrlimit(RLIMIT_CORE)", errno);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return IoError("prctl(PR_SET_DUMPABLE)", errno);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return IoError("prctl(PR_SET_NO_NEW_PRIVS)", errno);
  ::umask(0077);
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return IoError("signal(SIGPIPE)", errno);
  // A file size limit must fail the write, as a full disk does, and not end the process.
  if (std::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) return IoError("signal(SIGXFSZ)", errno);
  return Ok();
}

}  // namespace skms::appliance
