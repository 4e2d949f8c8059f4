// The host: clock, swap space, randomness, locked memory, units.
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "provisioning/doctor.h"
#include "provisioning/output.h"
#include "provisioning/program.h"

namespace skms::provisioning {
namespace {

namespace fs = std::filesystem;

/// dm-crypt says so of its devices.
bool IsEncrypted(const std::string& device) {
  std::error_code failed;
  const fs::path real = fs::canonical(device, failed);
  if (failed) return false;
  const auto uuid = ReadFile("/sys/class/block/" + real.filename().string() + "/dm/uuid");
  return uuid.has_value() && uuid.value().rfind("CRYPT-", 0) == 0;
}

void ExamineRandomness(Findings& found) {
  std::uint8_t octet = 0;
  if (::getrandom(&octet, sizeof octet, GRND_NONBLOCK) == sizeof octet) {
    found.Ok("randomness", "the kernel's generator is seeded");
  } else {
    found.Fail("randomness", "the kernel's generator is not seeded yet", "apt-get install rng-tools5");
  }
}

/// The process on the other side of the admin socket; 0: nobody, or the service manager.
pid_t DaemonProcess(const std::string& socket) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ucred peer{};
  socklen_t size = sizeof peer;
  bool known = socket.size() < sizeof address.sun_path;
  if (known) {
    std::memcpy(address.sun_path, socket.data(), socket.size());
    known = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
            ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  }
  ::close(fd);
  return known && peer.pid > 1 ? peer.pid : 0;
}

void ExamineMemory(const appliance::Configuration& configuration, Findings& found) {
  const pid_t process = DaemonProcess(configuration.admin.socket);
  if (process == 0 || configuration.memory.lock == "off") return;
  const auto status = ReadFile("/proc/" + std::to_string(process) + "/status");
  if (status.has_error()) return;
  const std::size_t at = status.value().find("\nVmLck:");
  if (at == std::string::npos) return;
  if (status.value().compare(status.value().find_first_of("0123456789", at), 2, "0 ") == 0) {
    found.Warn("memory", "the daemon's memory is not locked, and may be swapped out",
               "systemctl show -p LimitMEMLOCK skmsd  # infinity is needed; then: systemctl restart skmsd");
  } else {
    found.Ok("memory", "the daemon's memory is locked");
  }
}

void ExamineUnits(const appliance::Configuration* configuration, Findings& found) {
  std::error_code failed;
  if (!fs::is_directory("/run/systemd/system", failed)) return;
  const bool edge = configuration != nullptr && appliance::BehindEdge(*configuration);
  for (const auto& [unit, needed] :
       {std::pair("skmsd.service", true), std::pair("skmsd-admin.socket", false),
        std::pair("skmsd-edge.socket", edge), std::pair("skmsd-edge-ue.socket", false),
        std::pair("skms-edge.service", edge), std::pair("skms-metrics.timer", false)}) {
    const auto said = RunProgram({"/usr/bin/systemctl", "show", "-p", "LoadState,ActiveState,Result", unit});
    if (said.has_error() || said.value().exit_code != 0) continue;
    JudgeUnit(unit, needed, said.value().text, found);
  }
}

std::string Property(std::string_view shown, const std::string& name) {
  std::istringstream lines{std::string(shown)};
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + "=", 0) == 0) return line.substr(name.size() + 1);
  }
  return "";
}

}  // namespace

void ExamineHost(const appliance::Configuration* configuration, Findings& found) {
  timex time{};
  const int state = ::adjtimex(&time);
  JudgeClock(state, time.status, found);
  const auto swaps = ReadFile("/proc/swaps");
  if (swaps.has_value()) JudgeSwap(swaps.value(), &IsEncrypted, found);
  ExamineRandomness(found);
  if (configuration != nullptr) ExamineMemory(*configuration, found);
  ExamineUnits(configuration, found);
}

void JudgeClock(int state, int status, Findings& found) {
  constexpr const char* kCure = "timedatectl set-ntp true && timedatectl timesync-status";
  if (state == -1) {
    found.Warn("clock", "the kernel does not tell whether it is synchronized", kCure);
  } else if (state == TIME_ERROR || (status & STA_UNSYNC) != 0) {
    found.Warn("clock", "not synchronized: tokens and rotation are judged by it", kCure);
  } else {
    found.Ok("clock", "synchronized");
  }
}

void JudgeSwap(std::string_view swaps, bool (*encrypted)(const std::string& device), Findings& found) {
  std::istringstream lines{std::string(swaps)};
  std::string line;
  std::getline(lines, line);  // the titles
  bool any = false;
  while (std::getline(lines, line)) {
    const std::string device = line.substr(0, line.find_first_of(" \t"));
    if (device.empty()) continue;
    any = true;
    if (device.rfind("/dev/zram", 0) == 0) {
      found.Ok("swap", device + " is memory");
    } else if (encrypted(device)) {
      found.Ok("swap", device + " is encrypted");
    } else {
      found.Warn("swap", device + " is not encrypted: what comes into it outlives the process",
                 "swapoff " + ShellWord(device) + "  # or encrypt it: crypttab(5), option swap");
    }
  }
  if (!any) found.Ok("swap", "none");
}

void JudgeUnit(const std::string& unit, bool needed, std::string_view shown, Findings& found) {
  if (Property(shown, "LoadState") != "loaded") return;
  const std::string state = Property(shown, "ActiveState");
  if (state == "failed") {
    found.Fail(
        unit, "failed (" + Property(shown, "Result") + ")",
        "journalctl -u " + unit + " -n 50; systemctl reset-failed " + unit + "; systemctl start " + unit,
        ErrorCode::kResourceExhausted);
  } else if (needed && state != "active" && state != "reloading") {
    found.Fail(unit, state + ", and nobody is served without it", "systemctl start " + unit,
               ErrorCode::kResourceExhausted);
  } else {
    found.Ok(unit, state);
  }
}

}  // namespace skms::provisioning
