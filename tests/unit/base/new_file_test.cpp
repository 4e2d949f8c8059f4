#include "base/new_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

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

TEST_CASE("a digest of pieces is that of the whole") {
  RunningSha256 running;
  running.Add(AsBytes("a"));
  running.Add({});
  running.Add(AsBytes("bc"));
  CHECK(ToHex(running.Finish()) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace skms
