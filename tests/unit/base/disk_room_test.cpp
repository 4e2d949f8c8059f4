#include "base/disk_room.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_directory.h"

namespace skms {
namespace {

TEST_CASE("there is room for what fits beside the reserve, and for nothing else") {
  const test::TemporaryDirectory directory;
  const std::uint64_t free = std::filesystem::space(directory.path()).available;
  CHECK(CheckRoom(directory.path(), 1, 0).has_value());
  CHECK(CheckRoom(directory.path(), 2 * free, 0).error().code == ErrorCode::kStorage);
  // Each would fit alone.
  const std::uint64_t reserve = free / 1048576 * 3 / 4;
  CHECK(CheckRoom(directory.path(), 1, reserve).has_value());
  const Status both = CheckRoom(directory.path(), free / 2, reserve);
  REQUIRE(both.has_error());
  CHECK(both.error().code == ErrorCode::kStorage);
  CHECK(both.error().detail.find("make room first") != std::string::npos);
  CHECK(CheckRoom(directory.path(), 0, free).has_error());  // so many MiB: more than any disk
  CHECK(CheckRoom(directory.File("no/such"), 1, 0).error().code == ErrorCode::kIo);
}

TEST_CASE("a file that is not there has no octets") {
  const test::TemporaryDirectory directory;
  std::ofstream(directory.File("file")) << "12345";
  CHECK(SizeOfFile(directory.File("file")).value() == 5);
  CHECK(SizeOfFile(directory.File("none")).value() == 0);
}

}  // namespace
}  // namespace skms
