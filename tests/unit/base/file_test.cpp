#include "base/file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_directory.h"

namespace skms {
namespace {

unsigned ModeOf(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 0777U;
}

TEST_CASE("a file is read whole, up to a bound, or the error names it") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("a");
  std::ofstream(path) << std::string(5000, 'x');
  CHECK(ReadFile(path).value().size() == 5000);
  CHECK(ReadFile(path, 4999).error().code == ErrorCode::kTooLarge);
  CHECK(ReadFile(directory.File("none")).error().detail ==
        directory.File("none") + ": No such file or directory");
}

TEST_CASE("a secret is read only from a private, regular, non-empty file") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("pin");
  std::ofstream(path) << "1234\n";
  for (const unsigned mode : {0644U, 0640U, 0604U, 0620U, 0602U, 0610U}) {
    CAPTURE(mode);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CHECK(ReadSecretFile(path).error().code == ErrorCode::kConfiguration);
  }
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  CHECK(AsText(ReadSecretFile(path).value().ExposeSecret()) == "1234");
  CHECK(ReadSecretFile(path, 3).error().code == ErrorCode::kTooLarge);
  std::ofstream(path) << "\n";
  CHECK(ReadSecretFile(path).error().detail.find("empty") != std::string::npos);
  CHECK(ReadSecretFile(directory.path()).has_error());
}

TEST_CASE("a file is replaced whole, with its mode, and nothing is left beside it") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("key");
  REQUIRE(WriteFileAtomically(path, AsBytes("one"), 0600).has_value());
  REQUIRE(WriteFileAtomically(path, AsBytes("two"), 0640).has_value());
  CHECK(ReadFile(path).value() == "two");
  CHECK(ModeOf(path) == 0640);
  CHECK(WriteFileAtomically(directory.File("no/such/place"), AsBytes("x"), 0600).error().code ==
        ErrorCode::kIo);
  std::filesystem::create_directory(directory.File("taken"));
  CHECK(WriteFileAtomically(directory.File("taken"), AsBytes("x"), 0600).has_error());
  std::size_t entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
    entries += entry.exists() ? 1U : 0U;
  CHECK(entries == 2);
}

}  // namespace
}  // namespace skms
