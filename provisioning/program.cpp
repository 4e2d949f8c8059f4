#include "provisioning/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

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

}  // namespace

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
