#include "provisioning/program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <thread>

namespace skms::provisioning {
namespace {

constexpr std::size_t kMostOutput = 8192;

std::string ReadToEnd(int from) {
  std::string said;
  char chunk[1024];
  for (ssize_t got = 1; got != 0;) {
    got = ::read(from, chunk, sizeof chunk);
    if (got < 0 && errno != EINTR) break;
    if (got > 0 && said.size() < kMostOutput) said.append(chunk, static_cast<std::size_t>(got));
  }
  return said;
}

/// False: the time is over.
bool ReadUntil(int from, std::chrono::steady_clock::time_point end, std::string& said) {
  char chunk[1024];
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wait{from, POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&wait, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t got = ::read(from, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    said.append(chunk, static_cast<std::size_t>(got));
  }
}

/// What is stuck in the kernel does not even end by SIGKILL: it is waited for a moment.
void End(pid_t child) {
  constexpr int kTries = 100;
  ::kill(child, SIGKILL);
  for (int i = 0; i < kTries && ::waitpid(child, nullptr, WNOHANG) == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

}  // namespace

Result<std::string> RunAside(const std::function<std::string()>& work, std::chrono::seconds most) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return IoError("pipe", errno);
  const pid_t child = ::fork();
  if (child == 0) {
    std::string text = work();
    for (std::size_t sent = 0; sent < text.size();) {
      const ssize_t some = ::write(ends[1], text.data() + sent, text.size() - sent);
      if (some < 0 && errno != EINTR) break;
      if (some > 0) sent += static_cast<std::size_t>(some);
    }
    ::_exit(0);
  }
  const int failed = child < 0 ? errno : 0;
  ::close(ends[1]);
  std::string said;
  const bool came = failed == 0 && ReadUntil(ends[0], std::chrono::steady_clock::now() + most, said);
  ::close(ends[0]);
  if (failed != 0) return IoError("fork", failed);
  End(child);
  if (came) return said;
  return Error{ErrorCode::kResourceExhausted,
               "it does not answer within " + std::to_string(most.count()) + " s"};
}

Result<ProgramSaid> RunProgram(std::vector<std::string> command) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return IoError("pipe", errno);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const int failed = ::posix_spawn(&child, command.front().c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  ProgramSaid said;
  if (failed == 0) said.text = ReadToEnd(ends[0]);
  ::close(ends[0]);
  if (failed != 0) return IoError(command.front(), failed);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  said.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return said;
}

}  // namespace skms::provisioning
