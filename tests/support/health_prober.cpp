// Asks a unix socket for /healthz all the time, as a process of its own that goes before all others, so
// that what it sees is the daemon's slowness and not that of the test.
//
//   skms_health_prober SOCKET
//
// Each request has a connection of its own; 20 ms lie between two. When its standard input ends it prints one
// JSON object: "asked", "failed", and of the milliseconds that answers took "median", "p99" and "slowest";
// "late": how much later than asked the machine woke it from its pauses, at worst. What is slow by no more
// than that is the machine's.
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::chrono::milliseconds kPause{20};
constexpr timeval kPatience{60, 0};
constexpr char kRequest[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Whether the answer is 200.
bool Ask(const sockaddr_un& address) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  std::string answer;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, kRequest, sizeof kRequest - 1, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof kRequest - 1)) {
    char part[1024];
    for (ssize_t got = 0; (got = ::recv(fd, part, sizeof part, 0)) > 0;)
      answer.append(part, static_cast<std::size_t>(got));
  }
  ::close(fd);
  return answer.rfind("HTTP/1.1 200 ", 0) == 0;
}

double At(const std::vector<double>& sorted, double fraction) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(fraction * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (argc != 2 || std::strlen(argv[1]) >= sizeof address.sun_path) {
    std::fputs("usage: skms_health_prober SOCKET\n", stderr);
    return 2;
  }
  std::strcpy(address.sun_path, argv[1]);
  const sched_param first{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_FIFO, &first);  // without the right to it, it asks at the usual priority
  std::vector<double> took;
  std::size_t failed = 0;
  double late = 0;
  pollfd end{0, POLLIN, 0};
  for (;;) {
    const auto begun = Clock::now();
    if (!Ask(address)) ++failed;
    const auto answered = Clock::now();
    took.push_back(Milliseconds(answered - begun).count());
    if (::poll(&end, 1, static_cast<int>(kPause.count())) != 0) break;
    late = std::max(late, Milliseconds(Clock::now() - answered - kPause).count());
  }
  std::sort(took.begin(), took.end());
  std::printf(
      "{\"asked\": %zu, \"failed\": %zu, \"median\": %.2f, \"p99\": %.2f, \"slowest\": %.2f, \"late\": "
      "%.2f}\n",
      took.size(), failed, At(took, 0.5), At(took, 0.99), took.back(), late);
  return 0;
}
