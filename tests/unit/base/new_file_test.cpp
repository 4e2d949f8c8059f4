#include "base/new_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/encoding.h"
#include "base/file.h"
#include "base/running_digest.h"
#include "tests/support/temporary_directory.h"

namespace skms {
namespace {

std::size_t Names(const std::string& directory) {
  std::size_t count = 0;
  for (const auto& one : std::filesystem::directory_iterator(directory)) count += one.exists() ? 1U : 0U;
  return count;
}

TEST_CASE("a new file is there once it is whole, and nobody else's to read") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("made");
  auto file = NewFile::Create(path);
  REQUIRE(file.has_value());
  REQUIRE(file.value().Write(AsBytes("some ")).has_value());
  REQUIRE(file.value().Write(AsBytes("octets")).has_value());
  CHECK_FALSE(std::filesystem::exists(path));
  REQUIRE(file.value().Finish().has_value());
  CHECK(ReadFile(path).value() == "some octets");
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
}

TEST_CASE("one that is not finished leaves nothing") {
  const test::TemporaryDirectory directory;
  {
    auto file = NewFile::Create(directory.File("made"));
    REQUIRE(file.has_value());
    REQUIRE(file.value().Write(AsBytes("x")).has_value());
  }
  CHECK(Names(directory.path()) == 0);
}

TEST_CASE("it takes no other file's place, whenever that came") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("made");
  auto file = NewFile::Create(path);
  REQUIRE(file.has_value());
  std::ofstream(path) << "another's";
  CHECK(file.value().Finish().error().code == ErrorCode::kAlreadyExists);
  CHECK(NewFile::Create(path).error().code == ErrorCode::kAlreadyExists);
  CHECK(ReadFile(path).value() == "another's");
  std::filesystem::create_symlink(directory.File("nowhere"), directory.File("link"));
  CHECK(NewFile::Create(directory.File("link")).error().code == ErrorCode::kAlreadyExists);
  CHECK(NewFile::Create(directory.File("no/such")).error().code == ErrorCode::kIo);
}

/// From now on this process's kernel is one whose file systems have neither O_TMPFILE nor hard links, as FAT.
bool BeOnFat() {
  constexpr auto kTemporary = static_cast<std::uint32_t>(O_TMPFILE & ~O_DIRECTORY);
  std::array<sock_filter, 7> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_linkat, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kTemporary, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{filter.size(), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// 0, or the step that went wrong.
int MakeFilesOnFat(const std::string& path, const std::string& late_path) {
  if (!BeOnFat() || ::open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600) >= 0) return 1;
  auto file = NewFile::Create(path);
  if (file.has_error() || file.value().Write(AsBytes("octets")).has_error()) return 2;
  if (file.value().Finish().has_error()) return 3;
  auto late = NewFile::Create(late_path);
  if (late.has_error()) return 4;
  std::ofstream(late_path) << "another's";
  const Status finished = late.value().Finish();
  return finished.has_error() && finished.error().code == ErrorCode::kAlreadyExists ? 0 : 5;
}

TEST_CASE("on a file system without hard links it is made all the same, and takes no other's place") {
  const test::TemporaryDirectory directory;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(MakeFilesOnFat(directory.File("made"), directory.File("late")));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(ReadFile(directory.File("made")).value() == "octets");
  CHECK(ReadFile(directory.File("late")).value() == "another's");
  CHECK(Names(directory.path()) == 2);  // and no unfinished one
}

TEST_CASE("a digest of pieces is that of the whole") {
  RunningSha256 running;
  running.Add(AsBytes("a"));
  running.Add({});
  running.Add(AsBytes("bc"));
  CHECK(ToHex(running.Finish()) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace skms
